"""Reads the name of a file from the Content-Disposition header of a part, in the forms that clients send."""

from __future__ import annotations

import re
from email.errors import MessageError
from email.header import decode_header
from typing import Final
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_EXTENDED: Final = re.compile(rb";[ \t]*filename\*[ \t]*=[ \t]*([A-Za-z0-9_-]+)'[^';]*'([^;\s]*)", re.IGNORECASE)
_ENCODED_WORD: Final = re.compile(rb"=\?[A-Za-z0-9_-]+\?[bq]\?[^?\s]*\?=", re.IGNORECASE)
_EXTENDED_CHARSETS: Final = frozenset({"utf-8", "iso-8859-1"})


def field_and_filename(header: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Return the name of the form field and that of the file, in UTF-8 unless the client used another encoding.

    RFC 7578 wants `filename="..."` in UTF-8, which counts. Against it some clients send only `filename*=` (RFC 5987),
    or an encoded word (RFC 2047): they are decoded.
    """
    _, options = parse_options_header(header)
    filename = options.get(b"filename")
    if filename is None:
        extended = _EXTENDED.search(_QUOTED.sub(b'""', header or b""))
        filename = _from_extended(extended[1].decode("ascii"), extended[2]) if extended is not None else None
    elif _ENCODED_WORD.fullmatch(filename):
        filename = _from_encoded_word(filename)
    return options.get(b"name"), filename


def _from_extended(charset: str, value: bytes) -> bytes | None:
    if charset.lower() not in _EXTENDED_CHARSETS:
        return None
    return unquote_to_bytes(value).decode(charset, errors="replace").encode()


def _from_encoded_word(word: bytes) -> bytes:
    try:
        [(data, charset)] = decode_header(word.decode("ascii"))
        return data.decode(charset or "ascii").encode() if isinstance(data, bytes) else data.encode()
    except (MessageError, ValueError, LookupError):
        return word
