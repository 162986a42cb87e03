"""Text and page numbers out of an uploaded file of any type, parsed where it can do no harm.

Everything runs in a short-lived child process (`child`) with limits on memory, processor time and wall time, without
secrets in its environment and without the rights of the worker. The worker keeps one small coroutine:
`process.extract`. It is not imported here: asyncio alone would take a child half the time it needs for a short text.

- `readers` names the reader of each binary format: `docx`, `xlsx`, `pptx`, `ppt`, `odf`, `epub`, `rtf`, `pdf` and
  `mail.msg`. Texts are read by `html`, `mail` and `plain`. A format with many modules is a package, whose top is the
  reader and whose modules are its own.
- `ooxml` is what DOCX, XLSX and PPTX share. `conventions` are the rules that hold in all formats, such as how a
  comment is shown.
- `formats`, `packages` and `decoding` find out what a file is; `enclosures` reads the files that a message holds.
  `text_builder` and `structure` put together what was read, and `result` carries it.
- `child` and `process` are the two ends of the pipe between the child and the worker; `confinement` and `guards`
  enclose the child. `recognition` reads scanned pages.
"""

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.result import ExtractedText, ExtractionLimits, page_at
from fastapi_ignite.rag.extraction.structure import Span, SpanKind

__all__ = ["ErrorCode", "ExtractedText", "ExtractionError", "ExtractionLimits", "Span", "SpanKind", "page_at"]
