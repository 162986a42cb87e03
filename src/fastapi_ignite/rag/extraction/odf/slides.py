"""Reads presentations of OpenDocument: a slide is a page, and its notes stand on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.odf.names import DRAW, PRESENTATION
from fastapi_ignite.rag.extraction.odf.styles import Styles
from fastapi_ignite.rag.extraction.odf.text import BlockReader
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_PAGE: Final = f"{DRAW}page"
_NOTES: Final = f"{PRESENTATION}notes"
_CLASS: Final = f"{PRESENTATION}class"
_DECLARATIONS: Final = ("header", "footer", "date-time")
_HIDDEN: Final = "(hidden slide)"
_NOTES_HEADING: Final = "Notes:"
# the slide itself, and what stands on every page of notes
_NOT_OF_NOTES: Final = frozenset({"page", "handout", "header", "footer", "date-time", "page-number"})


class SlideReader:
    """Writes the slides in order. What stands on every slide by its master or as a footer is written on the first."""

    def __init__(
        self,
        styles: Styles,
        output: TextBuilder,
        reader: BlockReader,
        masters: Mapping[str, etree._Element],
        master_reader: BlockReader,
    ) -> None:
        self._styles = styles
        self._output = output
        self._reader = reader
        self._masters = masters
        self._master_reader = master_reader
        self._written: set[str] = set()

    def read(self, body: etree._Element) -> None:
        declared = {
            (kind, declaration.get(f"{PRESENTATION}name", "")): declaration
            for kind in _DECLARATIONS
            for declaration in body.iterchildren(f"{PRESENTATION}{kind}-decl")
        }
        for slide in body.iterchildren(_PAGE):
            self._output.page()
            self._slide(slide)
            self._master(slide)
            for kind in _DECLARATIONS:
                declaration = declared.get((kind, slide.get(f"{PRESENTATION}use-{kind}-name", "")))
                if declaration is not None:
                    self._once("".join(map(str, declaration.itertext())).strip())
            for notes in slide.iterchildren(_NOTES):
                self._notes(notes)

    def _slide(self, slide: etree._Element) -> None:
        mark = ""
        if self._styles.is_hidden_slide(slide.get(f"{DRAW}style-name")):
            mark = _HIDDEN
        titles = [frame for frame in slide if frame.get(_CLASS) == "title"]
        for frame in titles:
            title = self._reader.nested_text(frame)
            if title:
                self._output.heading(f"{title} {mark}".rstrip(), 1)
                mark = ""
        self._output.paragraph(mark)
        self._reader.end_block()
        for element in slide:
            if element not in titles and element.tag != _NOTES and element.get(_CLASS) != "page-number":
                self._reader.block(element)

    def _notes(self, notes: etree._Element) -> None:
        frames = [frame for frame in notes if frame.get(_CLASS) not in _NOT_OF_NOTES]
        if any(text.strip() for frame in frames for text in map(str, frame.itertext())):
            self._output.heading(_NOTES_HEADING, 2)
            for frame in frames:
                self._reader.block(frame)

    def _master(self, slide: etree._Element) -> None:
        for element in self._masters.get(slide.get(f"{DRAW}master-page-name", ""), ()):
            kind = element.get(_CLASS, "")
            shown = not kind or (
                kind in _DECLARATIONS and self._styles.shows_footer(slide.get(f"{DRAW}style-name"), kind)
            )
            if shown and str(element.tag).startswith(DRAW) and element.get(f"{PRESENTATION}placeholder") != "true":
                self._once(self._master_reader.nested_text(element))

    def _once(self, text: str) -> None:
        if text.strip() and text not in self._written:
            self._written.add(text)
            self._output.paragraph(text)
