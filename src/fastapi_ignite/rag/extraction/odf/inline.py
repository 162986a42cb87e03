"""Reads the text of one OpenDocument paragraph: characters at any depth, with blanks as the standard counts them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.superscripts import can_be_raised, raised
from fastapi_ignite.rag.extraction.conventions.symbol_characters import symbol_text
from fastapi_ignite.rag.extraction.odf.names import (
    ANNOTATION,
    DRAW,
    DUBLIN_CORE,
    HEADING,
    LIST,
    META,
    OFFICE,
    PARAGRAPH,
    PRESENTATION,
    STYLE_NAME,
    SVG,
    TABLE,
    TABLE_ELEMENT,
    TEXT,
    count_in,
)
from fastapi_ignite.rag.extraction.odf.styles import Styles

_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_PRIVATE: Final = re.compile("[\uf000-\uf0ff]")
_MOST_BLANKS: Final = 200
_NOTE: Final = f"{TEXT}note"
_SPAN: Final = f"{TEXT}span"
_DISPLAY: Final = f"{TEXT}display"
_LINK: Final = f"{DRAW}a"
_CONTROL: Final = f"{DRAW}control"
_PAGE_NUMBER: Final = f"{TEXT}page-number"
# Blocks inside a paragraph, which follow it.
_ANCHORED: Final = frozenset({ANNOTATION, _NOTE, PARAGRAPH, HEADING, LIST, TABLE_ELEMENT, f"{TEXT}section"})
# What no reader of the document sees, or what another place of the file holds once more.
SKIPPED: Final = frozenset(
    {
        *(f"{TEXT}{name}" for name in ("tracked-changes", "ruby-text", "script", "number", "sequence-decls")),
        *(f"{TEXT}{name}-source" for name in ("table-of-content", "illustration-index", "table-index", "object-index")),
        *(f"{TEXT}{name}-source" for name in ("user-index", "alphabetical-index", "bibliography")),
        *(f"{TABLE}{name}" for name in ("tracked-changes", "content-validations", "dde-links", "title", "desc")),
        *(f"{OFFICE}{name}" for name in ("event-listeners", "binary-data", "forms", "scripts")),
        # of a document in a flat file
        *(f"{OFFICE}{name}" for name in ("meta", "settings", "font-face-decls")),
        *(f"{OFFICE}{name}styles" for name in ("", "automatic-", "master-")),
        *(f"{SVG}{name}" for name in ("title", "desc")),
        *(f"{PRESENTATION}{name}{end}" for name in ("header", "footer", "date-time") for end in ("", "-decl")),
        f"{PRESENTATION}notes",
        *(f"{DUBLIN_CORE}{name}" for name in ("creator", "date")),
        *(f"{META}{name}" for name in ("creator-initials", "date-string")),
    }
)
_BLANK_ELEMENTS: Final = {f"{TEXT}s": " ", f"{TEXT}tab": "\t", f"{TEXT}line-break": "\n"}
_NOT_SHOWN: Final = frozenset({f"{TEXT}hidden-text", f"{TEXT}hidden-paragraph"})


class InlineReader:
    """Reads paragraphs one after the other, and collects the notes, comments and frames that are anchored in them.

    `text_in_line` returns the text of a frame that stands in the line, or nothing if it is a frame of another kind.
    """

    def __init__(self, styles: Styles, text_in_line: Callable[[etree._Element], str]) -> None:
        self._styles = styles
        self._text_in_line = text_in_line
        self._pieces: list[str] = []
        self._anchored: list[etree._Element] = []
        # by the standard, blanks at the start of a paragraph and after another blank do not count
        self._after_blank = True
        self._paragraph_is_hidden = False

    @property
    def has_anchored(self) -> bool:
        return bool(self._anchored)

    def taken_anchored(self) -> list[etree._Element]:
        """Return what was anchored in the paragraphs read since the last call."""
        anchored, self._anchored = self._anchored, []
        return anchored

    def read(self, paragraph: etree._Element) -> str:
        """Return the text of a paragraph or heading. Its tabs and line breaks are kept."""
        style = paragraph.get(STYLE_NAME)
        if style is not None and self._styles.is_hidden("paragraph", style):
            return ""
        if not len(paragraph):
            text = paragraph.text or ""
            # most cells of a sheet end here
            return text if text.isalnum() and text.isascii() else self._shown(text, "paragraph", style).strip(" ")
        self._after_blank = True
        self._paragraph_is_hidden = False
        anchored_before = len(self._anchored)
        self._content(paragraph, "paragraph", style)
        if self._paragraph_is_hidden:
            self._pieces.clear()
            del self._anchored[anchored_before:]
        text = "".join(self._pieces).rstrip(" ")
        self._pieces.clear()
        return text

    def _content(self, element: etree._Element, family: str, style: str | None) -> None:
        self._characters(element.text, family, style)
        for child in element:
            if isinstance(child.tag, str):
                self._element(child, family, style)
            self._characters(child.tail, family, style)

    def _element(self, element: etree._Element, family: str, style: str | None) -> None:
        tag = str(element.tag)
        if tag in _BLANK_ELEMENTS:
            self._add(_BLANK_ELEMENTS[tag] * count_in(element.get(f"{TEXT}c"), most=_MOST_BLANKS))
        elif tag == _NOTE:
            self._add(note_mark(element))
            self._anchored.append(element)
        elif tag in _ANCHORED:
            self._anchored.append(element)
        elif tag in SKIPPED or element.get(_DISPLAY) == "none" or self._is_hidden(element):
            return
        elif tag == _SPAN:
            name = element.get(STYLE_NAME)
            if not self._styles.is_hidden("text", name):
                self._content(element, *(("text", name) if name else (family, style)))
        elif tag.startswith(DRAW) and tag != _LINK:
            self._frame(element)
        elif tag != _PAGE_NUMBER or not (element.text or "").startswith("<"):  # no number yet: `<number>`
            self._content(element, family, style)

    def _frame(self, element: etree._Element) -> None:
        text = self._text_in_line(element)
        if text:
            self._add(text)
        elif element.tag != _CONTROL:
            self._anchored.append(element)

    def _is_hidden(self, element: etree._Element) -> bool:
        if element.tag not in _NOT_SHOWN or element.get(f"{TEXT}is-hidden") != "true":
            return False
        self._paragraph_is_hidden = self._paragraph_is_hidden or element.tag == f"{TEXT}hidden-paragraph"
        return True

    def _characters(self, text: str | None, family: str, style: str | None) -> None:
        if not text:
            return
        words = self._shown(text, family, style)
        if self._after_blank and words.startswith(" "):
            words = words[1:]
        if words:
            self._after_blank = words.endswith(" ")
            self._pieces.append(words)

    def _shown(self, text: str, family: str, style: str | None) -> str:
        # most texts have single blanks and no other white space
        words = text if text.isprintable() and "  " not in text else _BLANKS.sub(" ", text)
        if not words.isascii() and _PRIVATE.search(words):
            words = symbol_text(words, self._styles.font(family, style))
        elif family == "text" and can_be_raised(words) and self._styles.is_raised(style):
            words = raised(words)
        return words

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self._after_blank = False


def note_mark(note: etree._Element) -> str:
    """Return the mark of a note in brackets, as it stands in the text and before the note."""
    citation = next(note.iterchildren(f"{TEXT}note-citation"), None)
    mark = "".join(map(str, citation.itertext())).strip() if citation is not None else ""
    return f"[{mark or '*'}]"
