"""Unpacks the formatted body of a message of Outlook, after [MS-OXRTFCP]."""

from __future__ import annotations

import struct
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_HEADER: Final = struct.Struct("<IIII")
_PACKED: Final = 0x75465A4C
_NOT_PACKED: Final = 0x414C454D
_WINDOW: Final = 4096
# what every window begins with, as most messages begin with it
_FIRST_WORDS: Final = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def unpacked_rtf(data: bytes) -> bytes:
    """Return the RTF. At most nine times as long as its packed form, it needs no further bound.

    Raises:
        ExtractionError: the data are damaged.
    """
    try:
        _, size, kind, _ = _HEADER.unpack_from(data)
    except struct.error as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
    if kind == _NOT_PACKED:
        return data[_HEADER.size : _HEADER.size + size]
    if kind != _PACKED:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    return bytes(_unpacked(data[_HEADER.size :]))


def _unpacked(data: bytes) -> bytearray:
    window = bytearray(_FIRST_WORDS.ljust(_WINDOW, b"\0"))
    write = len(_FIRST_WORDS)
    found = bytearray()
    place = 0
    while place < len(data):
        control = data[place]
        place += 1
        for bit in range(8):
            if control >> bit & 1:
                reference = int.from_bytes(data[place : place + 2], "big")
                start, length = reference >> 4, (reference & 0xF) + 2
                if place + 2 > len(data) or start == write:
                    return found
                place += 2
            elif place < len(data):
                start, length = -1, 1
            else:
                return found
            for step in range(length):
                byte = data[place] if start < 0 else window[(start + step) % _WINDOW]
                found.append(byte)
                window[write] = byte
                write = (write + 1) % _WINDOW
            place += start < 0
    return found
