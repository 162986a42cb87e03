"""Reads Word files (DOCX, DOCM, DOTX, DOTM; transitional and strict) as a person reads them.

`docs/reading-documents.md` says what is kept, where it stands, and what is left out and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi_ignite.rag.extraction.docx.blocks import Block, BlockWriter, Paragraph
from fastapi_ignite.rag.extraction.docx.embedded import UNREADABLE, embedded_text
from fastapi_ignite.rag.extraction.docx.names import TABLE, P, w
from fastapi_ignite.rag.extraction.docx.package import WordPackage, children_while_parsing
from fastapi_ignite.rag.extraction.docx.side_parts import SideParts
from fastapi_ignite.rag.extraction.docx.story import Document, Story
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import ZIP_MAGIC, MediaType
from fastapi_ignite.rag.extraction.packages import package_type
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_BODY: Final = w("body")
_BLOCKS: Final = (P, TABLE, w("sdt"))


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a Word file. It has no pages: where they end depends on the program and the fonts that show it.

    Raises:
        ExtractionError: the file is damaged, or a part that holds text is missing.
    """
    builder = TextBuilder()
    _add_document(builder, data, may_embed=True)
    return ExtractedText(builder.text, None, media_type.value, builder.spans)


def _add_document(builder: TextBuilder, data: bytes, *, may_embed: bool) -> None:
    """Add the body with its notes, then the comments, then what its headers and footers say."""
    package = WordPackage(data)
    main = package.main_part("word/document.xml")
    document = Document(package, main, _embedded_blocks if may_embed else _refuse_embedded)
    side_parts = SideParts(document)
    writer = BlockWriter(builder, side_parts.note)
    body = children_while_parsing(package.required_content(main), _BODY, _BLOCKS)
    for block in Story(document, document.relations).blocks(body):
        writer.write(block)
    writer.end_story()
    writer.write_endnotes()
    for block in (*side_parts.comments(), *side_parts.headers_and_footers()):
        writer.write(block)
    writer.end_story()


def _embedded_blocks(content: bytes) -> Iterator[Block]:
    if content.startswith(ZIP_MAGIC):
        if package_type(content) is not MediaType.DOCX:
            raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, UNREADABLE)
        builder = TextBuilder()
        _add_document(builder, content, may_embed=False)
        text = builder.text
    else:
        text = embedded_text(content)
    yield from map(Paragraph, text.split("\n\n"))


def _refuse_embedded(_: bytes) -> Iterator[Block]:
    raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, UNREADABLE)
