"""Puts the words of a web page together to blocks: paragraphs, headings, list items and code."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.html.blocks import Block
from fastapi_ignite.rag.extraction.html.superscripts import subscript, superscript
from fastapi_ignite.rag.extraction.structure import SpanKind

_BLANKS: Final = re.compile(r"[ \t\r\n\f\v]+")
_QUESTION_MARKS: Final = ("?", "？", "؟", "\u037e")  # noqa: RUF001 - Chinese, Arabic and Greek have marks of their own
_FRACTION_BARS: Final = "/\u2044"
_LONGEST_HEADING: Final = 400
LOWEST_HEADING: Final = 6


class PageText:
    """Collects the words of a block until something ends it. `blocks` are those of the page in order.

    Blanks and line ends wait until a text follows, so that empty elements and the edges of blocks leave none behind.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        # where finished blocks go: to the page, or to the cell of a table
        self.sink = self.blocks
        self.kind: SpanKind | None = None
        self.number = ""
        self.heading = 0
        self.preformatted = False
        self.term_waits = False
        self.gap = 1
        self.script = ""
        self.code = 0
        self.strong = 0
        self.has_ordinary_type = False
        self._words: list[str] = []
        self._breaks = 0
        self._blank = False
        self._only_code = True
        self._after_control = False

    @property
    def words(self) -> list[str]:
        """Return the words of the block that is being read; who adds to them adds no blank."""
        return self._words

    def at_question(self) -> bool:
        """Tell whether the last thing read is a question, a heading or a control, which something hidden answers."""
        if self._after_control:
            return True
        if self._words:
            return self._words[-1].endswith(_QUESTION_MARKS)
        last = self.sink[-1] if self.sink else None
        return last is not None and (last.kind is SpanKind.HEADING or last.text.endswith(_QUESTION_MARKS))

    def add_text(self, data: str) -> None:
        if self.preformatted or not data:
            if data:
                self._append(data)
            return
        text = _BLANKS.sub(" ", data)
        if text == " ":
            self._blank = True
            return
        if text[0] == " ":
            self._blank = True
            text = text[1:]
        if text[-1] == " ":
            self._append(text[:-1])
            self._blank = True
        else:
            self._append(text)

    def add_word(self, text: str) -> None:
        """Add a text that the page sets off from its neighbours, although no blank does."""
        if text.strip():
            self._blank = True
            self.add_text(text)
        self._blank = True

    def set_off(self) -> None:
        """Let what follows be a word of its own."""
        self._blank = True

    def end_control(self) -> None:
        self._blank = True
        self._after_control = True

    def end_line(self) -> None:
        # more line ends in a row than two become two in the end: not kept, a million of them cost nothing
        self._breaks = min(self._breaks + 1, 2)

    def begin_script(self, name: str) -> None:
        """Begin a superscript or a subscript; one that a blank sets off is a word."""
        self.script = "" if self._blank or self._breaks or self.preformatted else name

    def begin_heading(self, level: int) -> None:
        number, kind = self.number, self.kind
        self.end_block()
        self.number, self.kind = number, kind
        self.gap = 2
        self.heading = level

    def boundary(self, gap: int) -> None:
        """End the block, except where it may have lines of its own: in a heading, in code, behind a term.

        `gap` is 2 where an empty line follows.
        """
        if self.heading and (gap == 1 or not self._words):
            self._breaks = 1
        elif self.preformatted:
            self._breaks = max(1, self._breaks)
        elif not (self.term_waits and self._words and self._breaks):
            self.end_block(gap)

    def begin_description(self) -> None:
        """Let a term and what describes it be one item of two lines."""
        if self.term_waits and self._words:
            self._breaks = 1
        else:
            self.end_item()

    def end_item(self) -> None:
        self.boundary(1)
        self.kind = None
        self.number = ""

    def end_block(self, gap: int = 1) -> None:
        self._flush()
        self.heading = 0
        self.preformatted = False
        self.gap = max(self.gap, gap)

    def _append(self, text: str) -> None:
        if self._breaks:
            self._begin_line()
        elif self._blank and self._words:
            self._words.append(" ")
        words = self._words
        if self.script:
            text = (superscript if self.script == "sup" else subscript)(words, text)
            self.script = ""
        elif words and text[0] in _FRACTION_BARS and words[-1][0] == "^":
            words[-1] = " " + words[-1][1:]  # it was no exponent, but the upper half of a fraction
        words.append(text)
        self._blank = self._after_control = False
        if not self.code:
            self._only_code = False
        if not self.strong:
            self.has_ordinary_type = True

    def _begin_line(self) -> None:
        if self._breaks > 1 and self.kind is None and not (self.heading or self.preformatted):
            self._flush()
            self.gap = 2
        elif self._words:
            self._words.append("\n" * self._breaks)
        self._breaks = 0

    def _flush(self) -> None:
        if self._words:
            text = "".join(self._words) if len(self._words) > 1 else self._words[0]
            kind = self.kind
            if self.heading and len(text) <= _LONGEST_HEADING:
                kind = SpanKind.HEADING
            elif self.preformatted or (kind is None and self._only_code):
                kind = SpanKind.CODE
            if not text.isspace():
                self.sink.append(Block(kind, self.number + text, self.heading, self.gap == 1))
            self._words = []
            self.kind = None
            self.number = ""
            self.gap = 1
            self._only_code = True
            self.term_waits = False
        elif self._breaks:  # a block of nothing but a line end is how mail programs write an empty line
            self.gap = 2
        self._breaks = 0
        self._blank = False
        self.script = ""
