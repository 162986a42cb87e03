"""Finds the structure of files whose text is stored as it is: tables, headings, list items and code.

A plain text, JSON, XML and TeX have none: a `#` is no heading there. A source or configuration file is code from its
first line to its last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from fastapi_ignite.rag.extraction.plain.delimited_tables import delimited_spans
from fastapi_ignite.rag.extraction.plain.markdown import markdown_spans
from fastapi_ignite.rag.extraction.plain.restructured_text import restructured_text_spans
from fastapi_ignite.rag.extraction.structure import MOST_SPANS, Span, SpanKind


def _code_spans(text: str) -> Iterable[Span]:
    start, end = len(text) - len(text.lstrip("\n")), len(text.rstrip("\n"))
    if start < end:
        yield Span(SpanKind.CODE, start, end)


_READERS: Final[dict[str, Callable[[str], Iterable[Span]]]] = {
    "text/csv": delimited_spans,
    "text/tab-separated-values": delimited_spans,
    "text/markdown": markdown_spans,
    "text/x-rst": restructured_text_spans,
    "text/x-source-code": _code_spans,
    "application/yaml": _code_spans,
    "application/toml": _code_spans,
    "application/sql": _code_spans,
    "text/css": _code_spans,
    "text/javascript": _code_spans,
}
# They keep every line in memory. An honest text of so many lines is data under the wrong name.
_BY_LINE: Final = (markdown_spans, restructured_text_spans)
_MOST_LINES: Final = 1_000_000
# They have the media type of plain text, in which nothing is code.
_CONFIGURATION: Final = frozenset({".ini", ".cfg", ".conf"})


def plain_spans(text: str, media_type: str, suffix: str) -> tuple[Span, ...]:
    """Return the spans of a text that is stored unchanged, in the order of their starts."""
    find = _code_spans if suffix in _CONFIGURATION else _READERS.get(media_type)
    if find is None or (find in _BY_LINE and text.count("\n") > _MOST_LINES):
        return ()
    return tuple(islice(find(text), MOST_SPANS))
