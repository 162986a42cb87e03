"""Reads mail of Outlook (`.msg`, [MS-OXMSG]) as the internet message that it would be, so that all mail is alike.

Left out on purpose: appointments' and contacts' own fields, categories, and the formatted body (RTF) where there is a
plain or an HTML one.
"""

from __future__ import annotations

import base64
import datetime as dt
import struct
from collections.abc import Iterator
from dataclasses import replace
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from fastapi_ignite.rag.extraction.decoding import decode
from fastapi_ignite.rag.extraction.enclosures import Enclosures
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.mail import read_message
from fastapi_ignite.rag.extraction.mail.outlook_rtf import unpacked_rtf
from fastapi_ignite.rag.extraction.ole_streams import OleStreams
from fastapi_ignite.rag.extraction.readers import read_document
from fastapi_ignite.rag.extraction.result import ExtractedText

# identifiers of properties
_SUBJECT, _SUBMITTED, _RECEIVED, _CLASS = "0037", 0x0039, 0x0E06, "001A"
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP, _REPRESENTING = "0C1A", "0C1F", "5D01", "0042"
_DISPLAY_TO, _DISPLAY_CC = "0E04", "0E03"
_RECIPIENT_KIND, _NAME, _ADDRESS, _SMTP = 0x0C15, "3001", "3003", "39FE"
_BODY, _HTML, _RTF = "1000", "1013", "1009"
_FILE_NAME, _SHORT_FILE_NAME, _FILE_TYPE, _FILE = "3707", "3704", "370E", "3701"
_CODE_PAGES: Final = (0x3FDE, 0x3FFD)
_TEXT, _BYTES_OF_TEXT, _BINARY, _OBJECT = "001F", "001E", "0102", "000D"
_TO, _CC = 1, 2
_HEADER_OF_MESSAGE, _HEADER_OF_NESTED, _HEADER_OF_OTHERS = 32, 24, 8
_ENTRY: Final = 16
_TICKS: Final = 10_000_000
_DEEPEST: Final = 16
_MOST_PARTS: Final = 2000
_WORD: Final = 1000
_ENCRYPTED: Final = "ipm.note.smime"
_SIGNED: Final = "ipm.note.smime.multipartsigned"
_EPOCH: Final = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
# Windows' numbers of code pages, where Python's name does not hold them
_PYTHON_NAMES: Final = {
    1200: "utf-16-le", 20127: "ascii", 20866: "koi8-r", 21866: "koi8-u", 28591: "latin-1", 50220: "iso2022_jp",
    51932: "euc_jp", 51949: "euc_kr", 54936: "gb18030", 65001: "utf-8",
}  # fmt: skip


def read(data: bytes, media_type: MediaType, enclosures: Enclosures) -> ExtractedText:
    """Read a message with its `enclosures`.

    Raises:
        ExtractionError: the message is encrypted or damaged.
    """
    return replace(read_message(internet_message(data).encode(), enclosures), media_type=media_type.value)


def internet_message(data: bytes) -> str:
    """Return a message of Outlook in the format of RFC 5322, in ASCII.

    Raises:
        ExtractionError: the message is encrypted or damaged.
    """
    return _Message(OleStreams(data), (), 0).as_internet_message()


class _Properties:
    """The properties of a message, a recipient or an attachment, which is a folder of the file."""

    def __init__(self, streams: OleStreams, path: tuple[str, ...], header: int, encoding: str = "") -> None:
        self._streams = streams
        self.path = path
        entries = streams.read(*path, "__properties_version1.0")
        if entries is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        self._fixed: dict[int, bytes] = {}
        for place in range(header, len(entries) - _ENTRY + 1, _ENTRY):
            (tag,) = struct.unpack_from("<I", entries, place)
            self._fixed[tag >> 16] = entries[place + 8 : place + _ENTRY]
        pages = filter(None, map(self.number, _CODE_PAGES))
        self.encoding = encoding or next(map(_encoding, pages), "")

    def number(self, identifier: int) -> int:
        return int.from_bytes(self._fixed.get(identifier, b"")[:4], "little")

    def moment(self, identifier: int) -> dt.datetime | None:
        ticks = int.from_bytes(self._fixed.get(identifier, b""), "little")
        try:
            return _EPOCH + dt.timedelta(seconds=ticks // _TICKS) if ticks else None
        except OverflowError:
            return None

    def binary(self, identifier: str) -> bytes | None:
        return self._streams.read(*self.path, f"__substg1.0_{identifier}{_BINARY}")

    def text(self, identifier: str) -> str:
        wide = self._streams.read(*self.path, f"__substg1.0_{identifier}{_TEXT}")
        if wide is not None:
            return wide[: len(wide) // 2 * 2].decode("utf-16-le", "replace").rstrip("\x00")
        narrow = self._streams.read(*self.path, f"__substg1.0_{identifier}{_BYTES_OF_TEXT}") or b""
        return self.decoded(narrow).rstrip("\x00")

    def decoded(self, content: bytes) -> str:
        try:
            return content.decode(self.encoding or "utf-8")
        except (LookupError, UnicodeDecodeError):
            return decode(content)


class _Message:
    def __init__(self, streams: OleStreams, path: tuple[str, ...], depth: int) -> None:
        self._streams = streams
        self._depth = depth
        header = _HEADER_OF_NESTED if path else _HEADER_OF_MESSAGE
        self._properties = _Properties(streams, path, header)
        kind = self._properties.text(_CLASS).lower()
        if kind.startswith(_ENCRYPTED) and not kind.startswith(_SIGNED):
            raise ExtractionError(ErrorCode.PASSWORD_PROTECTED, "The e-mail is encrypted; upload its decrypted text.")

    def as_internet_message(self) -> str:
        """Return the message in the format of RFC 5322, in ASCII."""
        boundary = f"part-{self._depth}-{'of'.join(map(str, self._properties.path[-2:]))}".replace("#", "").replace(
            "__", ""
        )
        parts = [*self._bodies(boundary), *self._attachments()]
        lines = [
            *self._headers(),
            "MIME-Version: 1.0",
            f'Content-Type: multipart/mixed; boundary="{boundary}"',
            "",
            *(f"--{boundary}\n{part}" for part in parts),
            f"--{boundary}--",
        ]
        return "\n".join(lines)

    def _headers(self) -> Iterator[str]:
        given = self._properties
        address = given.text(_SENDER_SMTP) or given.text(_SENDER_ADDRESS)
        sender = _mailbox(given.text(_SENDER_NAME) or given.text(_REPRESENTING), address)
        sent = given.moment(_SUBMITTED) or given.moment(_RECEIVED)
        people: dict[int, list[str]] = {_TO: [], _CC: []}
        for name in self._parts("__recip_version1.0_#"):
            recipient = _Properties(self._streams, (*given.path, name), _HEADER_OF_OTHERS, given.encoding)
            address = recipient.text(_SMTP) or recipient.text(_ADDRESS)
            kind = recipient.number(_RECIPIENT_KIND) & 0xF
            people.get(kind, []).append(_mailbox(recipient.text(_NAME), address))
        headers = {
            "Subject": given.text(_SUBJECT),
            "From": sender,
            "To": ", ".join(people[_TO]) or given.text(_DISPLAY_TO),
            "Cc": ", ".join(people[_CC]) or given.text(_DISPLAY_CC),
            "Date": format_datetime(sent) if sent else "",
        }
        return (f"{name}: {_words(value)}" for name, value in headers.items() if value)

    def _bodies(self, boundary: str) -> Iterator[str]:
        plain = self._properties.text(_BODY)
        coded = self._properties.binary(_HTML)
        html = self._properties.decoded(coded) if coded is not None else self._properties.text(_HTML)
        formatted = None if plain.strip() or html.strip() else self._properties.binary(_RTF)
        if formatted is not None:
            plain = read_document(unpacked_rtf(formatted), MediaType.RTF).text
        bodies = [
            _part(f"text/{kind}; charset=utf-8", "", text.encode())
            for kind, text in (("plain", plain), ("html", html))
            if text.strip()
        ]
        if len(bodies) > 1:
            inner = f"{boundary}-alternative"
            yield "\n".join(
                [
                    f'Content-Type: multipart/alternative; boundary="{inner}"',
                    "",
                    *(f"--{inner}\n{body}" for body in bodies),
                    f"--{inner}--",
                ]
            )
        else:
            yield from bodies

    def _attachments(self) -> Iterator[str]:
        for folder in self._parts("__attach_version1.0_#"):
            path = (*self._properties.path, folder)
            given = _Properties(self._streams, path, _HEADER_OF_OTHERS, self._properties.encoding)
            name = given.text(_FILE_NAME) or given.text(_SHORT_FILE_NAME) or given.text(_NAME)
            nested = (*path, f"__substg1.0_{_FILE}{_OBJECT}")
            if (*nested, "__properties_version1.0") in self._streams and self._depth < _DEEPEST:
                message = _Message(self._streams, nested, self._depth + 1).as_internet_message()
                yield f"Content-Type: message/rfc822\n{_disposition(name)}\n{message}"
            else:
                kind = given.text(_FILE_TYPE).split(";")[0].strip()
                kind = kind if kind.isascii() and kind.isprintable() and "/" in kind else "application/octet-stream"
                yield _part(kind, name or "unnamed", given.binary(_FILE) or b"")

    def _parts(self, prefix: str) -> Iterator[str]:
        for number, name in enumerate(self._streams.folders(self._properties.path, prefix)):
            if number >= _MOST_PARTS:
                raise ExtractionError(ErrorCode.TOO_LARGE)
            yield name


def _encoding(page: int) -> str:
    if page in _PYTHON_NAMES:
        return _PYTHON_NAMES[page]
    return f"iso8859-{page - 28590}" if 28592 <= page <= 28605 else f"cp{page}"  # noqa: PLR2004  # Windows' numbers


def _mailbox(name: str, address: str) -> str:
    """Return a name with its address. Inside an organisation addresses are no internet ones, and nobody reads them."""
    address = address if "@" in address else ""
    name = name.strip().strip("'\"")
    if not address or name.lower() == address.lower():
        return name or address
    return f"{name} <{address}>" if name else address


def _words(value: str) -> str:
    """Return a header's value in encoded words, unless it is plain ASCII."""
    value = " ".join(value.replace("\x00", "").split())
    if value.isascii() and "=?" not in value:
        return value
    pieces = (value[start : start + _WORD] for start in range(0, len(value), _WORD))
    return " ".join(f"=?utf-8?b?{base64.b64encode(piece.encode('utf-8', 'replace')).decode()}?=" for piece in pieces)


def _part(kind: str, file_name: str, content: bytes) -> str:
    coded = base64.encodebytes(content).decode()
    return f"Content-Type: {kind}\n{_disposition(file_name)}Content-Transfer-Encoding: base64\n\n{coded}"


def _disposition(file_name: str) -> str:
    if not file_name:
        return ""
    return f"Content-Disposition: attachment; filename*=utf-8''{quote(file_name.encode('utf-8', 'replace'))}\n"
