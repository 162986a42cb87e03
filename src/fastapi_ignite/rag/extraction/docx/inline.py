"""Reads the text of one paragraph: runs and what stands among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.symbol_characters import symbol_character, symbol_text
from fastapi_ignite.rag.extraction.docx.fields import Fields
from fastapi_ignite.rag.extraction.docx.names import (
    ALTERNATE_CONTENT,
    CHARTS,
    DIAGRAM,
    DRAWING_PARAGRAPH,
    HIDDEN,
    O_MATH,
    O_MATH_PARAGRAPH,
    R_PR,
    TEXT_BOX_CONTENT,
    R,
    T,
    child,
    w,
)
from fastapi_ignite.rag.extraction.docx.notes import NoteReference, Notes
from fastapi_ignite.rag.extraction.docx.styles import RunFormat, Styles
from fastapi_ignite.rag.extraction.ooxml.equations import equation_text

_SPACE: Final = "{http://www.w3.org/XML/1998/namespace}space"
_FIELD_MARK: Final = w("fldChar")
_LAST_CODE_POINT: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)
# 10 with a raised 6 is a million, and not 106.
_RAISED: Final = dict(zip("0123456789+-\u2212=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ", strict=True))
_RAISED_SIGNS: Final = frozenset(_RAISED)
_RAISED_TABLE: Final = str.maketrans(_RAISED)
_GRAPHICS: Final = CHARTS | {DIAGRAM, DRAWING_PARAGRAPH, TEXT_BOX_CONTENT}


@dataclass(slots=True)
class InlineText:
    """The text of a paragraph, and what it anchors: boxes and charts, which stand beside it, and notes."""

    text: str
    boxes: list[etree._Element]
    notes: list[NoteReference]
    is_bold: bool


@dataclass(slots=True)
class _Output:
    pieces: list[str] = field(default_factory=list)
    boxes: list[etree._Element] = field(default_factory=list)
    notes: list[NoteReference] = field(default_factory=list)
    is_bold: bool = True
    has_open_mark: bool = False


class InlineReader:
    """Reads paragraphs of one story after the other, as fields may run over several."""

    def __init__(self, styles: Styles, notes: Notes) -> None:
        self._styles = styles
        self._notes = notes
        self._base = RunFormat()
        self._output = _Output()
        self.fields = Fields()
        self.note_mark = ""
        self._actions: dict[object, Callable[[etree._Element, RunFormat], None]] = {
            T: self._text,
            w("tab"): self._sign("\t"),
            w("ptab"): self._sign("\t"),
            w("br"): self._sign("\n"),
            w("cr"): self._sign("\n"),
            w("noBreakHyphen"): self._sign("-"),
            w("softHyphen"): self._sign(""),
            w("sym"): self._symbol,
            _FIELD_MARK: self._field_mark,
            w("instrText"): self._instruction,
            O_MATH: self._equation,
            O_MATH_PARAGRAPH: self._equations,
            ALTERNATE_CONTENT: self._alternatives,
            w("drawing"): self._graphic,
            w("pict"): self._graphic,
            w("object"): self._graphic,
            TEXT_BOX_CONTENT: self._box,
            w("footnoteReference"): self._note,
            w("endnoteReference"): self._note,
            w("footnoteRef"): self._own_mark,
            w("endnoteRef"): self._own_mark,
        }

    def read(self, elements: Iterable[etree._Element], base: RunFormat) -> InlineText:
        """Return what a paragraph (its children) shows, if `base` is the format of runs that have none of their own."""
        self._base, self._output = base, _Output()
        self._walk(elements, base)
        self.fields.end_paragraph()
        found = self._output
        return InlineText("".join(found.pieces), found.boxes, found.notes, found.is_bold)

    def _walk(self, elements: Iterable[etree._Element], run_format: RunFormat) -> None:
        for element in elements:
            tag = element.tag
            if tag == R:
                self._run(element)
            elif tag not in HIDDEN:
                act = self._actions.get(tag)
                if act is None:  # a link, a content control, an insertion, or something unknown that may hold text
                    self._walk(element, run_format)
                else:
                    act(element, run_format)

    def _run(self, run: etree._Element) -> None:
        properties = child(run, R_PR)
        run_format = self._base if properties is None else self._styles.run_format(properties, self._base)
        if run_format.hidden:
            for mark in run.iterchildren(_FIELD_MARK):
                self.fields.mark(mark)
            return
        self._walk(run, run_format)
        if self._output.has_open_mark:
            self._output.has_open_mark = False
            self._show("]")

    def _show(self, text: str) -> None:
        if not self.fields.in_instruction and text:
            self.fields.shows()
            self._output.pieces.append(text)

    def _text(self, element: etree._Element, run_format: RunFormat) -> None:
        text = element.text
        if not text:
            return
        if "\n" in text:  # a line end in XML is a blank; those of a file that was indented for people are none at all
            text = " ".join(text.split("\n"))
            if element.get(_SPACE) != "preserve":
                text = text.strip(" ")
        if run_format.symbol_font:
            text = symbol_text(text, run_format.symbol_font)
        if run_format.superscript and _RAISED_SIGNS.issuperset(text):
            text = text.translate(_RAISED_TABLE)
        if not run_format.bold and not text.isspace():
            self._output.is_bold = False
        self._show(text)

    def _sign(self, text: str) -> Callable[[etree._Element, RunFormat], None]:
        return lambda _, __: self._show(text)

    def _symbol(self, element: etree._Element, _: RunFormat) -> None:
        try:
            place = int(element.get(w("char"), ""), 16)
        except ValueError:
            return
        if 0 < place <= _LAST_CODE_POINT and place not in _SURROGATES:
            self._show(symbol_character(place, element.get(w("font"), "")))

    def _field_mark(self, element: etree._Element, _: RunFormat) -> None:
        self._show(self.fields.mark(element))

    def _instruction(self, element: etree._Element, _: RunFormat) -> None:
        self.fields.instruction(element.text or "")

    def _equation(self, element: etree._Element, _: RunFormat) -> None:
        before = element.getprevious()
        self._show((" " if before is not None and before.tag == O_MATH else "") + equation_text(element))

    def _equations(self, element: etree._Element, _: RunFormat) -> None:
        """Read equations that stand on lines of their own."""
        self._show("\n" + "\n".join(equation_text(each) for each in element.iterchildren(O_MATH)) + "\n")

    def _alternatives(self, element: etree._Element, run_format: RunFormat) -> None:
        """Read the first alternative that shows any text: they all say the same, for programs of several ages."""
        output = self._output
        before = len(output.pieces) + len(output.boxes)
        for alternative in element:
            self._walk(alternative, run_format)
            if len(output.pieces) + len(output.boxes) > before:
                return

    def _graphic(self, element: etree._Element, _: RunFormat) -> None:
        if not self.fields.in_instruction:
            self._output.boxes.extend(_texts_in(element))

    def _box(self, element: etree._Element, _: RunFormat) -> None:
        self._output.boxes.append(element)

    def _note(self, element: etree._Element, _: RunFormat) -> None:
        if self.fields.in_instruction:
            return
        reference = self._notes.refer(element)
        self._output.notes.append(reference)
        if reference.mark:
            self._show(f"[{reference.mark}]")
        else:  # the rest of the run is its mark, which the author chose
            self._output.has_open_mark = True
            self._show("[")

    def _own_mark(self, _: etree._Element, __: RunFormat) -> None:
        if self.note_mark:
            self._show(f"[{self.note_mark}]")


def _texts_in(elements: Iterable[etree._Element]) -> Iterator[etree._Element]:
    """Yield the text boxes, charts and diagrams in a drawing, of alternatives those of the first that has any."""
    for element in elements:
        if element.tag in _GRAPHICS:
            yield element
        elif element.tag == ALTERNATE_CONTENT:
            yield from next(filter(None, (list(_texts_in(alternative)) for alternative in element)), [])
        else:
            yield from _texts_in(element)
