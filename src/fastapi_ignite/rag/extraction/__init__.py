"""Text and page numbers out of an uploaded file of any type, parsed where it can do no harm.

Everything runs in a short-lived child process (`child`) with limits on memory, processor time and wall time, without
secrets in its environment and without the rights of the worker. The worker keeps one small coroutine:
`process.extract`. It is not imported here: asyncio alone would take a child half the time it needs for a short text.
"""

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.result import ExtractedText, ExtractionLimits, page_at
from fastapi_ignite.rag.extraction.structure import Span, SpanKind

__all__ = ["ErrorCode", "ExtractedText", "ExtractionError", "ExtractionLimits", "Span", "SpanKind", "page_at"]
