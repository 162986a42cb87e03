"""Reads the headers of a message: encoded words, names of files, and bytes that are in no declared encoding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.policy import Compat32
from typing import Final, TypeVar

from fastapi_ignite.rag.extraction.decoding import decode_as

_SHOWN: Final = ("Subject", "From", "To", "Cc", "Date")
_T = TypeVar("_T")
# The standard library takes time quadratic in the length of a list of parameters, and of a header of encoded words.
_LONGEST_PARAMETERS: Final = 4096
_PIECE_OF_HEADER: Final = re.compile(r".{1,8192}(?!\S)|.{1,8192}", re.DOTALL)
_ESCAPED_BYTE: Final = re.compile(rb"\\udc([89a-f][0-9a-f])")
# They change the order in which letters are shown, so that a name or an address looks like another one.
_DIRECTIONS: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class BoundedHeaders(Compat32):
    """Shows the parser no more of a parameter list than a kind, a charset and a long file name need.

    Bytes beyond ASCII stay surrogates; the standard library would replace them by question marks.
    """

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value[:_LONGEST_PARAMETERS] if name.lower().startswith("content-") else value


def header_lines(message: Message) -> list[str]:
    """Return the headers that a mail program shows, one a line; the date stays as it was written."""
    return [f"{name}: {value}" for name in _SHOWN if (value := header(message, name))]


def header(message: Message, name: str) -> str:
    return _readable(message.get(name))


def file_name(part: Message) -> str:
    """Return the name of an attached file without its folder, or an empty string."""
    name = _readable(given(part.get_filename, None))
    return name.replace("\\", "/").rsplit("/", 1)[-1].strip()


def given(answer: Callable[[], _T], otherwise: _T) -> _T:
    """Return `answer()`. Where the parameters of a header conflict, the standard library raises, among others, a
    TypeError: then return `otherwise`.
    """
    try:
        return answer()
    except (MessageError, ValueError, TypeError, LookupError):
        return otherwise


def _readable(value: object) -> str:
    if value is None:
        return ""
    joined = " ".join(map(_decoded_words, _PIECE_OF_HEADER.findall(str(value))))
    words = "".join(character for character in joined if character not in _DIRECTIONS).split()
    return "".join(character for character in " ".join(words) if unicodedata.category(character) != "Cc")


def _decoded_words(piece: str) -> str:
    words = given(lambda: decode_header(piece), [(piece, None)])
    return "".join(_decoded(word, charset) for word, charset in words)


def _decoded(word: str | bytes, charset: str | None) -> str:
    if isinstance(word, str):
        if word.isascii():
            return word
        word = word.encode("utf-8", "surrogateescape")
    elif charset is None:
        # the standard library writes a byte that stands between encoded words like this
        word = _ESCAPED_BYTE.sub(lambda found: bytes.fromhex(found[1].decode()), word)
    return decode_as(word, charset)
