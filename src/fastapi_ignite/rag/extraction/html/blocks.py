"""Defines the blocks of a web page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastapi_ignite.rag.extraction.structure import SpanKind
from fastapi_ignite.rag.extraction.text_builder import TextBuilder


class Block(NamedTuple):
    """A paragraph, heading, list item or code; a table has `rows` and its number of header rows as `level`."""

    kind: SpanKind | None
    text: str
    level: int = 0
    is_line: bool = False
    rows: Sequence[Sequence[str]] = ()


def add_blocks(blocks: Iterable[Block], builder: TextBuilder) -> None:
    for block in blocks:
        if block.kind is SpanKind.HEADING:
            builder.heading(block.text, block.level)
        elif block.kind is SpanKind.LIST_ITEM:
            builder.list_item(block.text)
        elif block.kind is SpanKind.CODE:
            builder.code(block.text)
        elif block.kind is SpanKind.TABLE:
            builder.table(block.rows, header_rows=block.level)
        elif block.is_line:
            builder.line(block.text)
        else:
            builder.paragraph(block.text)
