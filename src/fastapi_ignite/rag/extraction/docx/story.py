"""Reads the blocks of a story: of the body, a header, a note, a comment or a text box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.docx.blocks import Block, Paragraph, Role, Table
from fastapi_ignite.rag.extraction.docx.fields import Fields
from fastapi_ignite.rag.extraction.docx.inline import InlineReader, InlineText
from fastapi_ignite.rag.extraction.docx.names import (
    ALTERNATE_CONTENT,
    CHARTS,
    DIAGRAM,
    DRAWING_PARAGRAPH,
    HIDDEN,
    O_MATH,
    O_MATH_PARAGRAPH,
    P_PR,
    TABLE,
    P,
    R,
    child,
    r,
    w,
)
from fastapi_ignite.rag.extraction.docx.notes import Notes
from fastapi_ignite.rag.extraction.docx.numbering import Numbering
from fastapi_ignite.rag.extraction.docx.package import WordPackage
from fastapi_ignite.rag.extraction.docx.styles import ListPlace, ParagraphStyle, Styles, paragraph_properties, placed
from fastapi_ignite.rag.extraction.docx.tables import TableReader
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.ooxml.charts import chart_content
from fastapi_ignite.rag.extraction.ooxml.diagrams import diagram_texts
from fastapi_ignite.rag.extraction.ooxml.drawing_text import paragraph_text
from fastapi_ignite.rag.extraction.ooxml.parts import Relation

_EMBEDDED_PART: Final = w("altChunk")
# They stand among paragraphs only in files that another program than Word wrote: each is read as a paragraph.
_INLINE: Final = frozenset((R, O_MATH, O_MATH_PARAGRAPH, w("hyperlink"), w("fldSimple")))
_BLOCKS: Final = frozenset((P, TABLE, _EMBEDDED_PART, DRAWING_PARAGRAPH, DIAGRAM, *CHARTS, *_INLINE))
_PLAIN: Final = ParagraphStyle()


class Document:
    """The objects that all stories of a file share. `read_embedded` reads an inserted part of another format."""

    def __init__(self, package: WordPackage, main_part: str, read_embedded: Callable[[bytes], Iterable[Block]]) -> None:
        self.package = package
        self.read_embedded = read_embedded
        self.relations = package.relations(main_part)
        self.styles = Styles(self._optional("styles"))
        self.numbering = Numbering(self._optional("numbering"), self.styles)
        self.notes = Notes(self._optional("settings"))
        self._taken: set[str] = set()

    def parts(self, kind: str) -> list[str]:
        """Return the names of the parts that are related to the main part in this way."""
        return list(dict.fromkeys(link.target for link in self.relations.values() if link.kind == kind))

    def take(self, link: Relation | None) -> str | None:
        """Return the name of a part that is shown at one place, and None if it was shown before.

        Raises:
            ExtractionError: the part is missing.
        """
        if link is None or link.target in self._taken:
            return None
        if not self.package.has(link.target):
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        self._taken.add(link.target)
        return link.target

    def _optional(self, kind: str) -> etree._Element | None:
        return next(map(self.package.xml, self.parts(kind)), None)


class Story:
    """The paragraphs and tables of one part, in the order in which they are read."""

    def __init__(self, document: Document, relations: dict[str, Relation]) -> None:
        self._document = document
        self._relations = relations
        self._tables = TableReader(document.styles, self.blocks)
        self.inline = InlineReader(document.styles, document.notes)

    def blocks(self, elements: Iterable[etree._Element]) -> Iterator[Block]:
        """Yield the blocks that these elements are or hold; of one element, those below it."""
        waiting: list[InlineText] = []  # for the paragraph that it belongs to
        for element in _blocks_in(elements):
            tag = element.tag
            if tag == P:
                yield from self._paragraph(element, waiting)
                continue
            yield from self._joined(waiting)
            if tag == TABLE:
                yield from self._tables.read(element)
            elif tag in _INLINE:
                waiting.append(self.inline.read([element], self._document.styles.paragraph(None).run))
            elif tag == DRAWING_PARAGRAPH:
                yield Paragraph(paragraph_text(element))
            elif tag == _EMBEDDED_PART:
                part = self._part_of(element, "id")
                if part is not None:
                    yield from self._document.read_embedded(self._document.package.required_content(part))
            elif tag == DIAGRAM:
                part = self._part_of(element, "dm")
                if part is not None:
                    texts = diagram_texts(self._document.package.required_xml(part))
                    yield from (Paragraph(text) for text, _ in texts)
            else:
                part = self._part_of(element, "id")
                yield from () if part is None else self._chart(part)
        yield from self._joined(waiting)

    def _paragraph(self, paragraph: etree._Element, waiting: list[InlineText]) -> Iterator[Block]:
        own = paragraph_properties(child(paragraph, P_PR))
        style = self._document.styles.paragraph(own.style_id)
        waiting.append(self.inline.read(paragraph, style.run))
        if not own.goes_on:
            if own.heading_level is not None:
                style = replace(style, heading_level=own.heading_level)
            yield from self._joined(waiting, style, placed(own.place, style.place), own.style_id)

    def _joined(
        self,
        waiting: list[InlineText],
        style: ParagraphStyle = _PLAIN,
        place: ListPlace | None = None,
        style_id: str | None = None,
    ) -> Iterator[Block]:
        """Yield the paragraph that has waited for its end, and what stands beside it."""
        if not waiting:
            return
        text = "".join(inline.text for inline in waiting)
        marker = "" if place is None else self._document.numbering.marker(place, style_id)
        notes = [note for inline in waiting for note in inline.notes]
        boxes = [box for inline in waiting for box in inline.boxes]
        is_bold = all(inline.is_bold for inline in waiting)
        waiting.clear()
        if text.strip():
            role, text = _role_and_text(style, text, marker)
            yield Paragraph(text, role, style.heading_level, notes, is_bold)
        if boxes:
            yield from self._boxes(boxes)

    def _chart(self, part: str) -> Iterator[Block]:
        for found in chart_content(self._document.package, part):
            yield Paragraph(found) if isinstance(found, str) else Table(found, header_rows=1)

    def _part_of(self, element: etree._Element, attribute: str) -> str | None:
        return self._document.take(self._relations.get(element.get(r(attribute), "")))

    def _boxes(self, boxes: list[etree._Element]) -> Iterator[Block]:
        """Read what floats beside a paragraph. A field around it goes on behind it."""
        outer, self.inline.fields = self.inline.fields, Fields()
        yield from self.blocks(boxes)
        self.inline.fields = outer


def _blocks_in(elements: Iterable[etree._Element]) -> Iterator[etree._Element]:
    """Yield the paragraphs, tables and other blocks, through content controls and marks of changes."""
    for element in elements:
        tag = element.tag
        if tag in _BLOCKS:
            yield element
        elif tag == ALTERNATE_CONTENT:
            yield from next(filter(None, (list(_blocks_in(alternative)) for alternative in element)), [])
        elif tag not in HIDDEN:
            yield from _blocks_in(element)


def _role_and_text(style: ParagraphStyle, text: str, marker: str) -> tuple[Role, str]:
    if style.is_code and not marker:
        return Role.CODE, text.rstrip()
    text = f"{marker}{text.strip()}" if marker else text.rstrip()
    if style.heading_level:
        return Role.HEADING, text
    return (Role.LIST_ITEM if marker else Role.BODY), text
