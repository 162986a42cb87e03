"""Reads RTF files. docs/reading-documents.md says what is left out.

Kept are the text of the body, of notes, comments, text boxes, headers and footers, and the results of fields. Left out
are deleted and hidden text, what moved away, pictures, data of embedded objects, instructions of fields, entries of an
index, tables of fonts, styles and lists, and what describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_private
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.rtf.charsets import WINDOWS_LATIN, Charset, Font, of_code_page
from fastapi_ignite.rag.extraction.rtf.flow import Flow, ParagraphFormat
from fastapi_ignite.rag.extraction.rtf.tokens import TokenReader
from fastapi_ignite.rag.extraction.rtf.words import (
    CHARACTERS,
    FOOTERS,
    HEADERS,
    KEPT,
    LABELS,
    PARAGRAPH_ENDS,
    SKIPPED,
)
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_CHECKBOX: Final = re.compile(rb"FORMCHECKBOX.*?\\ffres([0-9]{1,3})(?:.*?\\ffdefres([0-9]))?", re.DOTALL)
_LONGEST_NAME: Final = 100
_LONGEST_FIELD: Final = 2000
_PAGE_FIELD: Final = re.compile(rb"\b(?:PAGE|NUMPAGES|SECTIONPAGES)\b")
_HEADING_NAME: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)
_DEEPEST_FLOW: Final = 30
_BULLET: Final = "•"
_BODY_LEVEL: Final = 9
_UNCHECKED_BY_DEFAULT: Final = 25


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read an RTF file. It has no pages: what is called a page there is a break set by hand.

    Raises:
        ExtractionError: the file ends inside a group, or is nested too deeply. A missing last brace does no harm.
    """
    builder = _Reader(data).read()
    return ExtractedText(builder.text, None, media_type.value, builder.spans)


class _Reader(TokenReader):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._default_font = 0
        self._fonts: dict[int, Font] = {}
        self._charsets: dict[int, Charset | None] = {}
        self._levels: dict[int, int] = {}
        self._style = 0
        self._style_name = b""
        self._headers: dict[str, TextBuilder] = {}
        self._footers: dict[str, TextBuilder] = {}
        self._notes = 0
        self._note_mark = ""
        self._author = ""
        self._open_flows = 0

    def read(self) -> TextBuilder:
        """Return the text, and behind it each different header and footer once."""
        self.read_tokens()
        body = self.flow.end(self.state.paragraph)
        builder = TextBuilder()
        for part in (body, *self._headers.values(), *self._footers.values()):
            builder.document(part.text, part.spans)
        return builder

    def name(self, text: bytes) -> None:
        if self.state.in_styles:
            self._name_of_style(text)
        else:
            font = self._fonts.setdefault(self.state.font, Font())
            font.name = (font.name + text[:_LONGEST_NAME].decode("latin-1")).partition(";")[0][:_LONGEST_NAME]

    def _name_of_style(self, text: bytes) -> None:
        self._style_name = (self._style_name + text[:_LONGEST_NAME])[:_LONGEST_NAME]
        if text.rstrip().endswith(b";"):
            name, self._style_name = self._style_name.decode("latin-1").strip(" ;"), b""
            heading = _HEADING_NAME.fullmatch(name)
            if heading is not None:
                self._levels.setdefault(self._style, int(heading[1]))
            elif name.lower() == "title":
                self._levels.setdefault(self._style, 1)

    def control_word(self, word: str, value: int | None, *, starred: bool) -> None:
        if word in SKIPPED or (starred and word not in KEPT and not self.state.in_styles):
            self._skipped(word)
        elif word in PARAGRAPH_ENDS:
            self.end_paragraph()
        else:
            handler = _HANDLERS.get(word)
            if handler is not None:
                handler(self, word, value)

    def _skipped(self, word: str) -> None:
        content = self.skip_group()
        if word != "fldinst":
            return
        self.flow.has_page_number = self.flow.has_page_number or _PAGE_FIELD.search(content) is not None
        checkbox = _CHECKBOX.search(content[:_LONGEST_FIELD])
        if checkbox is not None:
            ticked = int(checkbox[1])
            ticked = int(checkbox[2] or 0) if ticked == _UNCHECKED_BY_DEFAULT else ticked
            self.add("[x]" if ticked else "[ ]")

    def end_paragraph(self) -> None:
        if not self.state.is_deleted:
            self.flow.end_paragraph(self.state.paragraph)

    # Control words that set what the text after them looks like.

    def set_default(self, word: str, value: int | None) -> None:
        self._charsets.clear()
        names = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": WINDOWS_LATIN}
        self.default_charset = (
            of_code_page(value or 0, self.default_charset) if word == "ansicpg" else Charset(names[word])
        )

    def set_default_font(self, _word: str, value: int | None) -> None:
        self._default_font = value or 0
        self.state.font = self._default_font

    def set_font(self, word: str, value: int | None) -> None:
        if word == "f":
            self.state.font = value or 0
        elif self.state.is_right_to_left:
            self.state.font_of_right_to_left = value
        self._choose_charset()

    def set_direction(self, word: str, _value: int | None) -> None:
        self.state.is_right_to_left = word == "rtlch"
        self._choose_charset()

    def _choose_charset(self) -> None:
        state = self.state
        if state.in_fonts:
            self._fonts.setdefault(state.font, Font())
            return
        number = state.font_of_right_to_left if state.is_right_to_left else None
        number = state.font if number is None else number
        if number not in self._charsets:
            font = self._fonts.get(number)
            self._charsets[number] = font.charset(self.default_charset) if font is not None else None
        state.charset = self._charsets[number]

    def describe_font(self, word: str, value: int | None) -> None:
        if self.state.in_fonts:
            font = self._fonts.setdefault(self.state.font, Font())
            if word == "fcharset":
                font.charset_number = value
            else:
                font.code_page = value

    def set_plain(self, _word: str, _value: int | None) -> None:
        state = self.state
        state.font, state.font_of_right_to_left, state.is_right_to_left = self._default_font, None, False
        state.is_hidden = state.is_deleted = state.is_raised = False
        self._choose_charset()

    def set_fallback_length(self, _word: str, value: int | None) -> None:
        self.state.fallback_length = max(0, 1 if value is None else value)

    def set_hidden(self, _word: str, value: int | None) -> None:
        self.state.is_hidden = value != 0

    def set_deleted(self, _word: str, value: int | None) -> None:
        self.state.is_deleted = value != 0

    def set_raised(self, word: str, value: int | None) -> None:
        self.state.is_raised = value != 0 and word in {"super", "up"}

    def reset_paragraph(self, _word: str, _value: int | None) -> None:
        self.state.paragraph = ParagraphFormat(self._levels.get(0, 0))

    def set_in_table(self, word: str, value: int | None) -> None:
        self.state.paragraph = replace(self.state.paragraph, in_table=value != 0 or word == "intbl")

    def set_level(self, _word: str, value: int | None) -> None:
        level = 0 if value is None or not 0 <= value < _BODY_LEVEL else value + 1
        if self.state.in_styles:
            self._levels[self._style] = level
        else:
            self.state.paragraph = replace(self.state.paragraph, level=level)

    def set_style(self, word: str, value: int | None) -> None:
        if self.state.in_styles:
            self._style = (value or 0) if word == "s" else -1
            self._style_name = b""
        elif word == "s":
            self.state.paragraph = replace(self.state.paragraph, level=self._levels.get(value or 0, 0))

    # Control words that begin and end rows.

    def begin_row(self, _word: str, _value: int | None) -> None:
        self.flow.row_names_columns = False

    def name_columns(self, _word: str, _value: int | None) -> None:
        self.flow.row_names_columns = True

    def end_part_of_table(self, word: str, _value: int | None) -> None:
        ends = {"cell": Flow.end_cell, "row": Flow.end_row, "nestcell": Flow.end_nested_cell}
        ends.get(word, Flow.end_nested_row)(self.flow)

    # Control words that begin a group with a text of its own.

    def begin_fonts(self, _word: str, _value: int | None) -> None:
        self._charsets.clear()
        self.state.in_fonts = True
        self.state.font = -1

    def begin_styles(self, _word: str, _value: int | None) -> None:
        self.state.in_styles = True

    def begin_alternatives(self, _word: str, _value: int | None) -> None:
        """Read the Unicode part of a group that has its text in a code page and in Unicode."""
        self.state.in_alternatives = True

    def end_alternatives(self, _word: str, _value: int | None) -> None:
        self.state.in_alternatives = False

    def page_number(self, _word: str, _value: int | None) -> None:
        self.flow.has_page_number = True

    def note_reference(self, _word: str, _value: int | None) -> None:
        """Write the mark of a note where it stands; in the note itself it is written before the text."""
        if not self._note_mark:
            self._notes += 1
            self._note_mark = f"[{self._notes}]"
            self.add(self._note_mark)

    def begin_note(self, _word: str, _value: int | None) -> None:
        outer = self._begin_flow()
        mark = self._note_mark
        self._note_mark = self._note_mark or " "  # whatever mark stands in the note is its own

        def end(note: Flow) -> None:
            self._note_mark = ""
            text = _text_of(note)
            _attach(outer, f"{mark} {text}".strip() if text else "")

        self.state.at_end = lambda: self._end_flow(outer, end)

    def begin_comment(self, _word: str, _value: int | None) -> None:
        outer = self._begin_flow()
        author, self._author = self._author, ""
        self.state.at_end = lambda: self._end_flow(
            outer, lambda comment: _attach(outer, comment_text(_text_of(comment), author))
        )

    def begin_author(self, _word: str, _value: int | None) -> None:
        outer = self._begin_flow()

        def end(name: Flow) -> None:
            self._author = name.text()

        self.state.at_end = lambda: self._end_flow(outer, end)

    def begin_box(self, _word: str, _value: int | None) -> None:
        outer = self._begin_flow()
        self.state.at_end = lambda: self._end_flow(outer, lambda box: outer.attach(box.end(ParagraphFormat())))

    def begin_label(self, _word: str, _value: int | None) -> None:
        outer = self._begin_flow()

        def end(label: Flow) -> None:
            text = label.text()
            outer.label = _BULLET if text and all(map(is_private, text)) else text

        self.state.at_end = lambda: self._end_flow(outer, end)

    def begin_margin(self, word: str, _value: int | None) -> None:
        outer = self._begin_flow(is_margin=True)
        place = self._headers if word in HEADERS else self._footers

        def end(margin: Flow) -> None:
            builder = margin.end(ParagraphFormat())
            place.setdefault(builder.text, builder)

        self.state.at_end = lambda: self._end_flow(outer, end)

    def _begin_flow(self, *, is_margin: bool = False) -> Flow:
        self._open_flows += 1
        if self._open_flows > _DEEPEST_FLOW:  # each would copy the text of all inside
            raise ExtractionError(ErrorCode.TOO_LARGE)
        outer, self.flow = self.flow, Flow(is_margin=is_margin)
        self.state.paragraph = ParagraphFormat()
        return outer

    def _end_flow(self, outer: Flow, use: Callable[[Flow], None]) -> None:
        self._open_flows -= 1
        inner, self.flow = self.flow, outer
        use(inner)


def _text_of(flow: Flow) -> str:
    return flow.end(ParagraphFormat()).text.strip()


def _attach(outer: Flow, text: str) -> None:
    if text:
        builder = TextBuilder()
        builder.paragraph(text)
        outer.attach(builder)


_Handler = Callable[[_Reader, str, int | None], None]
# They are methods of the class above, which alone uses this table.
_HANDLERS: Final[dict[str, _Handler]] = {
    **dict.fromkeys(("ansi", "mac", "pc", "pca", "ansicpg"), _Reader.set_default),
    **dict.fromkeys(("f", "af"), _Reader.set_font),
    **dict.fromkeys(("ltrch", "rtlch"), _Reader.set_direction),
    **dict.fromkeys(("fcharset", "cpg"), _Reader.describe_font),
    **dict.fromkeys(("deleted", "mvf"), _Reader.set_deleted),
    **dict.fromkeys(("intbl", "itap"), _Reader.set_in_table),
    **dict.fromkeys(("s", "cs", "ds", "ts"), _Reader.set_style),
    **dict.fromkeys(("cell", "row", "nestcell", "nestrow"), _Reader.end_part_of_table),
    **dict.fromkeys(("shptxt", "dptxbxtext"), _Reader.begin_box),
    **dict.fromkeys(LABELS, _Reader.begin_label),
    **dict.fromkeys((*HEADERS, *FOOTERS), _Reader.begin_margin),
    **dict.fromkeys(("super", "up", "sub", "dn", "nosupersub"), _Reader.set_raised),
    "deff": _Reader.set_default_font,
    "plain": _Reader.set_plain,
    "pard": _Reader.reset_paragraph,
    "outlinelevel": _Reader.set_level,
    "uc": _Reader.set_fallback_length,
    "v": _Reader.set_hidden,
    "trowd": _Reader.begin_row,
    "trhdr": _Reader.name_columns,
    "fonttbl": _Reader.begin_fonts,
    "stylesheet": _Reader.begin_styles,
    "upr": _Reader.begin_alternatives,
    "ud": _Reader.end_alternatives,
    "chftn": _Reader.note_reference,
    "chpgn": _Reader.page_number,
    "footnote": _Reader.begin_note,
    "annotation": _Reader.begin_comment,
    "atnauthor": _Reader.begin_author,
}
_Reader.known_words = frozenset(
    word.encode() for word in (*_HANDLERS, *SKIPPED, *PARAGRAPH_ENDS, *CHARACTERS, "u", "bin")
)
