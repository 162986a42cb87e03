"""Reads presentations of PowerPoint since 2007 (`.pptx`, `.ppsx`, `.potx`, also with macros), one page a slide.

The slides come in the order of the show; the title is a heading and stands first, and the other shapes follow in the
order of the file, which is the order in which a screen reader says them. Left out on purpose: what stands on layouts
and masters, the number of the slide in its own placeholder, slides that are no longer in the show, alternative texts of
pictures, embedded files, and the header, footer, date and number of a page of notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.ooxml.charts import add_chart
from fastapi_ignite.rag.extraction.ooxml.diagrams import diagram_texts
from fastapi_ignite.rag.extraction.ooxml.drawing_text import paragraph_text, paragraphs, table_rows
from fastapi_ignite.rag.extraction.ooxml.parts import (
    OfficeParts,
    children,
    chosen_children,
    descendants,
    find,
    is_true,
    local_name,
    relation_id,
)
from fastapi_ignite.rag.extraction.pptx.list_numbers import ListNumbers
from fastapi_ignite.rag.extraction.pptx.placeholders import Placeholders, bullet, list_level, placeholder_type
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_TITLES: Final = frozenset({"title", "ctrTitle"})
_NOT_OF_SLIDE: Final = frozenset({"sldNum"})
_NOT_OF_NOTES: Final = frozenset({"sldNum", "sldImg", "hdr", "ftr", "dt"})
_KINDS_WITH_TEXT: Final = frozenset({"chart", "chartEx", "diagramData", "notesSlide", "comments"})
_HIDDEN: Final = "(hidden slide)"
_BULLET: Final = "• "
_INDENT: Final = "  "
_DEEPEST_LEVEL: Final = 8


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a presentation.

    Raises:
        ExtractionError: the package is damaged, or a slide of the show is missing.
    """
    builder = TextBuilder()
    parts = OfficeParts(data)
    name = parts.main_part("ppt/presentation.xml")
    presentation = parts.required_xml(name)
    relations = parts.relations(name)
    authors = _authors(parts, name)
    placeholders = Placeholders(parts)
    first = presentation.get("firstSlideNum", "1")
    number = int(first) if first.isdecimal() and len(first) < 6 else 1  # noqa: PLR2004  # no show has more slides
    for entry in children(find(presentation, "sldIdLst"), "sldId"):
        relation = relations.get(relation_id(entry))
        if relation is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        builder.page()
        _Slide(builder, parts, relation.target, number, placeholders).add(authors)
        number += 1
    return ExtractedText(builder.text, builder.page_starts, media_type.value, builder.spans)


def _authors(parts: OfficeParts, presentation: str) -> dict[str, str]:
    return {
        author.get("id", ""): author.get("name", "")
        for part in parts.related(presentation, "commentAuthors", "authors")
        for author in children(parts.xml(part), "cmAuthor", "author")
    }


def _shapes(tree: etree._Element | None) -> Iterator[etree._Element]:
    """Yield the shapes of a slide, those of groups where their group stands, without those that are switched off."""
    for shape in chosen_children(tree):
        if _is_switched_off(shape):
            continue
        if local_name(shape) == "grpSp":
            yield from _shapes(shape)
        else:
            yield shape


def _is_switched_off(shape: etree._Element) -> bool:
    """Tell whether somebody hid the shape in the selection pane, for instance an old version of another."""
    for properties in shape.iterchildren("{*}nvSpPr", "{*}nvGrpSpPr", "{*}nvGraphicFramePr"):
        return is_true(next((each.get("hidden") for each in properties.iterchildren("{*}cNvPr")), None))
    return False


class _Slide:
    """One slide, and what belongs to it in other parts."""

    def __init__(
        self, builder: TextBuilder, parts: OfficeParts, name: str, number: int, placeholders: Placeholders
    ) -> None:
        self._builder = builder
        self._parts = parts
        self._number = number
        self._placeholders = placeholders
        self._root = parts.required_xml(name)
        self._relations = parts.relations(name)
        self._layout = next((link.target for link in self._relations.values() if link.kind == "slideLayout"), None)

    def add(self, authors: dict[str, str]) -> None:
        """Add all that the slide holds: its title, its shapes, its notes and the comments on it."""
        shapes = [(shape, placeholder_type(shape)) for shape in _shapes(find(self._root, "cSld", "spTree"))]
        titles = filter(None, (self._title(shape) for shape, kind in shapes if kind in _TITLES))
        mark = "" if is_true(self._root.get("show", "1")) else _HIDDEN
        title = next(titles, "")
        if title:
            self._builder.heading(f"{title} {mark}".rstrip(), 1)
        elif mark and self._has_text():
            self._builder.paragraph(mark)
        for another in titles:
            self._builder.heading(another, 1)
        for shape, kind in shapes:
            if kind not in _TITLES | _NOT_OF_SLIDE:
                self._add_shape(shape)
        for name in self._related("notesSlide"):
            self._add_notes(name)
        for name in self._related("comments"):
            self._add_comments(name, authors)

    def _title(self, shape: etree._Element) -> str:
        texts = (paragraph_text(paragraph, self._number) for paragraph in descendants(find(shape, "txBody"), "p"))
        return " ".join(filter(None, map(str.strip, texts)))

    def _has_text(self) -> bool:
        kinds = {relation.kind for relation in self._relations.values()}
        return any(text.text for text in descendants(self._root, "t")) or not kinds.isdisjoint(_KINDS_WITH_TEXT)

    def _related(self, kind: str) -> Iterator[str]:
        return (relation.target for relation in self._relations.values() if relation.kind == kind)

    def _add_shape(self, shape: etree._Element) -> None:
        if local_name(shape) == "graphicFrame":
            self._add_graphic(find(shape, "graphic", "graphicData"))
            return
        numbers = ListNumbers()
        styles = self._placeholders.list_styles(self._layout, shape)
        for paragraph in descendants(shape, "p"):
            text = paragraph_text(paragraph, self._number)
            if text.strip():
                self._add_paragraph(paragraph, text, bullet(paragraph, styles), numbers)

    def _add_paragraph(
        self, paragraph: etree._Element, text: str, mark: etree._Element | None, numbers: ListNumbers
    ) -> None:
        level = list_level(paragraph)
        if mark is None:
            numbers.end(level)
            self._builder.paragraph(text)
        elif local_name(mark) == "buAutoNum":
            number = numbers.number(level, mark.get("type", ""), mark.get("startAt", "1"))
            self._builder.list_item(f"{_INDENT * level}{number} {text}")
        else:
            numbers.end(level)
            self._builder.list_item(f"{_INDENT * level}{_BULLET}{text}")

    def _add_graphic(self, data: etree._Element | None) -> None:
        for graphic in chosen_children(data):
            name = local_name(graphic)
            if name == "tbl":
                rows, header_rows = table_rows(graphic)
                self._builder.table(rows, header_rows=header_rows)
            elif name == "chart" and relation_id(graphic) in self._relations:
                add_chart(self._builder, self._parts, self._relations[relation_id(graphic)].target)
            elif name == "relIds" and relation_id(graphic, "dm") in self._relations:
                self._add_diagram(self._relations[relation_id(graphic, "dm")].target)
            else:
                for text in paragraphs(graphic):
                    self._builder.paragraph(text)

    def _add_diagram(self, name: str) -> None:
        root = self._parts.xml(name)
        for text, level in () if root is None else diagram_texts(root):
            self._builder.list_item(f"{_INDENT * min(level, _DEEPEST_LEVEL)}{_BULLET}{text}")

    def _add_notes(self, name: str) -> None:
        root = self._parts.xml(name)
        tree = find(root, "cSld", "spTree")
        shapes = [shape for shape in _shapes(tree) if placeholder_type(shape) not in _NOT_OF_NOTES]
        if any(text.strip() for shape in shapes for text in paragraphs(shape)):
            self._builder.heading("Notes:", 2)
            for shape in shapes:
                self._add_shape(shape)

    def _add_comments(self, name: str, authors: dict[str, str]) -> None:
        root = self._parts.xml(name)
        for comment in () if root is None else root.iter("{*}cm", "{*}reply"):
            body = find(comment, "txBody")
            direct = find(comment, "text")
            text = "\n".join(paragraphs(body)) if direct is None else direct.text or ""
            author = authors.get(comment.get("authorId", ""), "")
            self._builder.paragraph(comment_text(text, author))
