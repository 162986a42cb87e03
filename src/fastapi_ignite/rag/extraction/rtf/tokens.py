"""Cuts RTF into groups, control words and text, each byte once, and decodes the text."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from fastapi_ignite.rag.extraction.conventions.superscripts import raised
from fastapi_ignite.rag.extraction.conventions.symbol_characters import symbol_character
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.rtf.charsets import WINDOWS_LATIN, Charset
from fastapi_ignite.rag.extraction.rtf.flow import Flow, ParagraphFormat
from fastapi_ignite.rag.extraction.rtf.words import CHARACTERS, SYMBOLS

_TOKEN: Final = re.compile(
    rb"\\([a-zA-Z]+)(-?[0-9]+)? ?|((?:\\'[0-9a-fA-F]{2})+)|\\([^a-zA-Z])|([{}])|([^\\{}]+)", re.DOTALL
)
_WORD, _PARAMETER, _CODES, _SYMBOL, _BRACE, _TEXT = range(1, 7)
_IN_SKIPPED: Final = re.compile(rb"\\(?:bin([0-9]{1,10}) ?|.)|([{}])", re.DOTALL)
_LINE_ENDS: Final = b"\r\n\x00"
_DEEPEST: Final = 10_000
_LONGEST_PARAMETER: Final = 10
_UNIT: Final = 0x10000
_PRIVATE: Final = range(0xF000, 0xF100)


@dataclass(slots=True)
class State:
    """The format that a group inherits from the group around it, and that its end restores."""

    font: int = 0
    font_of_right_to_left: int | None = None
    is_right_to_left: bool = False
    charset: Charset | None = None
    fallback_length: int = 1
    is_hidden: bool = False
    is_deleted: bool = False
    is_raised: bool = False
    in_fonts: bool = False
    in_styles: bool = False
    in_alternatives: bool = False
    paragraph: ParagraphFormat = field(default_factory=ParagraphFormat)
    at_end: Callable[[], None] | None = None

    def inherited(self) -> State:
        """Return the state in which a group inside begins; three times as fast as `dataclasses.replace`."""
        return State(
            self.font,
            self.font_of_right_to_left,
            self.is_right_to_left,
            self.charset,
            self.fallback_length,
            self.is_hidden,
            self.is_deleted,
            self.is_raised,
            self.in_fonts,
            self.in_styles,
            self.in_alternatives,
            self.paragraph,
        )

    @property
    def shows_text(self) -> bool:
        return not (self.is_hidden or self.is_deleted or self.in_fonts or self.in_styles)


class TokenReader(ABC):
    """Reads the tokens and keeps the state of each group. A subclass knows what the control words mean.

    `known_words` are those that it wants to see without a star; the many others only say how the text looks.
    """

    known_words: ClassVar[frozenset[bytes]]

    def __init__(self, data: bytes) -> None:
        self.default_charset = Charset(WINDOWS_LATIN)
        self.state = State()
        self.flow = Flow()
        self._data = data
        self._position = 0
        self._states: list[State] = []
        self._bytes = bytearray()
        # so many bytes are still what programs show that cannot read the `\u` before them
        self._fallback = 0
        self._is_starred = False

    @abstractmethod
    def control_word(self, word: str, value: int | None, *, starred: bool) -> None:
        """Obey a control word; `starred` ones begin a group that programs which do not know it leave out."""

    @abstractmethod
    def end_paragraph(self) -> None:
        """Add the text so far as a paragraph."""

    @abstractmethod
    def name(self, text: bytes) -> None:
        """Take a part of the name of a font or a style."""

    def read_tokens(self) -> None:
        """Read the whole file.

        Raises:
            ExtractionError: it ends inside a group or is nested too deeply. Braces that are missing behind the last one
                do no harm: some programs forget them, and a file that was cut off ends elsewhere.
        """
        while self._position < len(self._data):
            self._read_on()
        self.flush()
        if len(self._states) > 1 and not self._data.rstrip(b"\r\n\t \x00").endswith(b"}"):
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        while self._states:
            self._close()

    def skip_group(self) -> bytes:
        """Go to the brace that ends the group, and return what stands before it."""
        position = start = self._position
        depth = 0
        while found := _IN_SKIPPED.search(self._data, position):
            position = found.end()
            if found[1]:
                position += int(found[1])
            elif found[2] == b"{":
                depth += 1
            elif found[2] == b"}":
                if depth == 0:
                    self._position = found.start()
                    return self._data[start : self._position]
                depth -= 1
        raise ExtractionError(ErrorCode.CORRUPT_FILE)

    def add(self, text: str) -> None:
        if self.state.shows_text:
            self.flow.add(text, self.state.paragraph)

    def flush(self) -> None:
        """Decode the bytes of a run. A character of several bytes may be written half as codes and half as letters."""
        if self._bytes:
            text = (self.state.charset or self.default_charset).decode(bytes(self._bytes))
            self._bytes.clear()
            if self.state.is_raised:
                text = raised(text)
            self.flow.add(text, self.state.paragraph)

    def _read_on(self) -> None:
        """Read up to a place where the next token does not follow the last one: behind binary data or a group."""
        for token in _TOKEN.finditer(self._data, self._position):
            kind = token.lastindex or 0
            self._position = token.end()
            if kind == _TEXT:
                self._text(token[_TEXT].translate(None, _LINE_ENDS))
            elif kind <= _PARAMETER:
                if token[_WORD] in self.known_words or self._is_starred:
                    self._word(token[_WORD].decode("ascii"), token[_PARAMETER])
            elif kind == _CODES:
                self._text(bytes.fromhex(token[_CODES].replace(b"\\'", b"").decode("ascii")))
            elif kind == _SYMBOL:
                self._symbol(token[_SYMBOL])
            elif token[_BRACE] == b"{":
                self._open()
            else:
                self._close()
            if self._position != token.end():
                return
        self._position = len(self._data)

    def _open(self) -> None:
        self._end_run()
        if len(self._states) >= _DEEPEST:
            raise ExtractionError(ErrorCode.TOO_LARGE)
        if self.state.in_alternatives and not self._data.startswith(b"\\*\\ud", self._position):
            self.skip_group()
            self._position += 1
            return
        self._states.append(self.state)
        self.state = self.state.inherited()

    def _close(self) -> None:
        self._end_run()
        if self._states:  # a brace too many ends nothing
            at_end = self.state.at_end
            self.state = self._states.pop()
            if at_end is not None:
                at_end()

    def _end_run(self) -> None:
        self.flush()
        self._fallback = 0
        self._is_starred = False

    def _text(self, text: bytes) -> None:
        if self._fallback:
            skipped = min(self._fallback, len(text))
            self._fallback -= skipped
            text = text[skipped:]
        if self.state.in_fonts or self.state.in_styles:
            self.name(text)
        elif self.state.shows_text:
            self._bytes += text

    def _symbol(self, symbol: bytes) -> None:
        if symbol in {b"\\", b"{", b"}"}:
            self._text(symbol)
        elif symbol == b"*":
            self._is_starred = True
        elif symbol in {b"\r", b"\n"}:
            self.flush()
            self.end_paragraph()
        elif symbol in SYMBOLS:
            self._character(SYMBOLS[symbol])

    def _character(self, character: str) -> None:
        if self._fallback:
            self._fallback -= 1
        else:
            self.flush()
            self.add(character)

    def _word(self, word: str, parameter: bytes | None) -> None:
        starred, self._is_starred = self._is_starred, False
        value = int(parameter[:_LONGEST_PARAMETER]) if parameter else None
        if word in CHARACTERS:
            self._character(CHARACTERS[word])
            return
        self.flush()
        if word == "u" and value is not None:
            self._unicode(value % _UNIT)
        elif word == "bin":
            self._position += max(value or 0, 0)
            if self._position > len(self._data):
                raise ExtractionError(ErrorCode.CORRUPT_FILE)
        else:
            self.control_word(word, value, starred=starred)

    def _unicode(self, unit: int) -> None:
        self._fallback = self.state.fallback_length
        if unit in _PRIVATE:
            font = (self.state.charset or self.default_charset).symbol_font
            self.add(symbol_character(unit, font or "Symbol"))
        elif unit and self.state.shows_text:
            self.flow.add_code_unit(unit, self.state.paragraph)
