"""Reads an e-mail: who wrote what to whom, the body, the messages in it, and the attached files that are documents.

Of several forms of one text the richest is read that says as much as the others. What is left out on purpose:
- headers, save Subject, From, To, Cc and Date
- the other forms of the same text, signatures, the letters of ciphers, and the pictures that a page shows
- files that hold no text, cannot be read, or are one too many: they are named
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.generator import Generator
from email.message import Message
from email.parser import Parser
from pathlib import PurePosixPath
from typing import Final

from fastapi_ignite.rag.extraction.decoding import decode_as
from fastapi_ignite.rag.extraction.enclosures import DEEPEST, Enclosures
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.mail.body import decode_base64, html_source, payload, plain_text
from fastapi_ignite.rag.extraction.mail.calendar_text import calendar_text
from fastapi_ignite.rag.extraction.mail.headers import BoundedHeaders, file_name, given, header, header_lines
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.structure import Span
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNED_ONLY: Final = "signed-data"
_SIGNATURES: Final = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
_MAIL_IN_MAIL: Final = frozenset({"message/rfc822", "message/global"})
_CALENDARS: Final = frozenset({"text/calendar", "application/ics"})
# another form of the page for one mail program, and what a page saved as MHTML needs to be shown
_NOT_TO_READ: Final = frozenset({"text/x-amp-html", "text/css", "text/javascript", "text/ecmascript"})
_ADDRESS: Final = re.compile(r"https?://\S+")
# The line before each message in a file of several (RFC 4155), and such a line as it is written in a body.
_FROM_LINE: Final = re.compile(
    r"(?:\A|\n\r?\n)From \S{1,300} [^\r\n]{0,100}[0-9]{4}[^\r\n]{0,100}\r?\n(?=[A-Za-z][A-Za-z0-9-]{0,80}:)"
)
_ESCAPED_FROM: Final = re.compile(r"^>(>*From )", re.MULTILINE)
_REASONS: Final = {
    ErrorCode.PASSWORD_PROTECTED: "encrypted",
    ErrorCode.CORRUPT_FILE: "damaged",
    ErrorCode.TOO_LARGE: "too large, or one too many",
    ErrorCode.TOO_MANY_CHARACTERS: "too large",
    ErrorCode.EXTRACTION_TIMEOUT: "takes too long",
    ErrorCode.EXTRACTION_CRASHED: "its reader failed",
}
# files that hold no text: nothing is missing
_WITHOUT_TEXT: Final = frozenset({ErrorCode.UNSUPPORTED_TYPE, ErrorCode.EMPTY_FILE, ErrorCode.NO_TEXT})
_SUFFIXES: Final = {
    "text/html": ".html",
    "text/csv": ".csv",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/json": ".json",
}


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the text with its spans, or the heading of what follows."""

    text: str
    spans: tuple[Span, ...] = ()
    is_heading: bool = False

    @property
    def weight(self) -> int:
        """Return its number of characters, without blanks and the addresses of links, which nobody sees."""
        return sum(map(len, _ADDRESS.sub("", self.text).split()))


def read_message(data: bytes, enclosures: Enclosures) -> ExtractedText:
    """Read a message, or a file of several (mbox).

    Raises:
        ExtractionError: the message is encrypted.
    """
    raw = data.removeprefix(b"\xef\xbb\xbf").decode("ascii", errors="surrogateescape")
    sources = list(_sources(raw))
    builder = TextBuilder()
    for source in sources:
        message = _parsed(source)
        _refuse_encrypted(message)
        if len(sources) > 1:
            builder.heading(header(message, "Subject"), 1)
        _add(builder, _message(message, enclosures))
    return ExtractedText(builder.text, None, MediaType.EMAIL, builder.spans)


def _sources(raw: str) -> Iterator[str]:
    """Return the source of each message."""
    lines = list(_FROM_LINE.finditer(raw)) if raw.startswith("From ") else []
    if not lines:
        yield raw
    ends = [*(line.start() for line in lines[1:]), len(raw)]
    for line, end in zip(lines, ends, strict=bool(lines)):
        yield _ESCAPED_FROM.sub(r"\1", raw[line.end() : end])


def _parsed(source: str) -> Message:
    message = given(lambda: Parser(policy=BoundedHeaders()).parsestr(source.lstrip("\r\n")), None)
    if message is None:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    return message


def _refuse_encrypted(message: Message) -> None:
    if _is_encrypted(message):
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED, "The e-mail is encrypted; upload its decrypted text.")


def _is_encrypted(part: Message) -> bool:
    kind = given(lambda: part.get_param("smime-type"), None)
    return part.get_content_type() in _ENCRYPTED and kind != _SIGNED_ONLY


def _add(builder: TextBuilder, sections: list[_Section]) -> None:
    for section in sections:
        if section.is_heading:
            builder.heading(section.text, 2)
        else:
            builder.document(section.text, section.spans)


def _message(message: Message, enclosures: Enclosures) -> list[_Section]:
    reader = _Reader(enclosures)
    body = reader.part(message, 0, is_body=True)
    lines = header_lines(message)
    if reader.names:
        lines.append("Attachments: " + ", ".join(reader.names))
    return [_Section("\n".join(lines)), *body]


class _Reader:
    """Reads the parts of one message in order, and notes the names of what is attached."""

    def __init__(self, enclosures: Enclosures) -> None:
        self.names: list[str] = []
        self._enclosures = enclosures
        self._calendars: set[str] = set()

    def part(self, part: Message, depth: int, *, is_body: bool) -> list[_Section]:
        """Return what a part says. `is_body` means that it stands where the text of the message is expected."""
        kind = part.get_content_type()
        if kind in _SIGNATURES:
            return []
        if _is_encrypted(part) or depth > DEEPEST:
            reason = ErrorCode.PASSWORD_PROTECTED if _is_encrypted(part) else ErrorCode.TOO_LARGE
            self._name_unread(file_name(part) or kind, reason)
            return []
        if kind in _MAIL_IN_MAIL:
            return self._enclosed_message(part)
        if part.get_content_maintype() == "multipart" or part.is_multipart():
            return self._several(part, kind, depth)
        return self._leaf(part, kind, is_body=is_body)

    def _several(self, part: Message, kind: str, depth: int) -> list[_Section]:
        """Return what the parts say in their order. Pictures in `related` are shown by the page, not attached."""
        children = _children(part)
        if not children:
            return self._without_boundary(part, depth)
        if kind == "multipart/alternative":
            return self._alternative(children, depth)
        if kind.startswith("message/"):  # the fields of a report on delivery
            return [_Section("\n\n".join(map(_fields, children)))]
        related = kind == "multipart/related"
        sections: list[_Section] = []
        for number, child in enumerate(children):
            if not (related and child.get_content_maintype() == "image"):
                sections += self.part(child, depth + 1, is_body=number == 0)
        return sections

    def _alternative(self, children: list[Message], depth: int) -> list[_Section]:
        """Return the richest form. An invitation is no other form of the text: mail programs show it above."""
        events: list[_Section] = []
        forms = []
        for child in children:
            if child.get_content_type() in _CALENDARS:
                events += self._calendar(child)
            else:
                forms.append(self.part(child, depth + 1, is_body=True))
        return [*events, *self._richest(forms)]

    def _without_boundary(self, part: Message, depth: int) -> list[_Section]:
        """Read parts that a program has encoded as a whole, against the standard; otherwise there is only a text."""
        decoded = payload(part).decode("ascii", "surrogateescape")
        again = _parsed(f"Content-Type: {part.get('content-type', '')}\n\n{decoded}")
        if again.is_multipart():
            return self.part(again, depth + 1, is_body=True)
        return [_Section(plain_text(part))]

    @staticmethod
    def _richest(forms: list[list[_Section]]) -> list[_Section]:
        """Return the last form that says at least half as much as the one that says most: the sender prefers it."""
        weights = [sum(section.weight for section in form) for form in forms]
        most = max(weights, default=0)
        fitting = [form for form, weight in zip(forms, weights, strict=True) if 2 * weight >= most]
        return fitting[-1] if fitting else []

    def _leaf(self, part: Message, kind: str, *, is_body: bool) -> list[_Section]:
        name = file_name(part)
        disposition = part.get_content_disposition()
        attached = disposition == "attachment" or bool(name and not (is_body and disposition is None))
        if kind in _CALENDARS:
            return self._calendar(part)
        if attached or part.get_content_maintype() != "text":
            return self._file(part, name or "unnamed", kind)
        if kind == "text/html":
            page = TextBuilder()
            read_page(html_source(part), page, with_title=False)
            return [_Section(page.text, page.spans)]
        if kind in _NOT_TO_READ:
            return []
        return [_Section(plain_text(part))]

    def _calendar(self, part: Message) -> list[_Section]:
        """An invitation comes as a part and once more as a file: it is read once."""
        text = calendar_text(plain_text(part))
        if not text or text in self._calendars:
            return []
        self._calendars.add(text)
        return [_Section(text)]

    def _file(self, part: Message, name: str, kind: str) -> list[_Section]:
        """Read an attached file as it would be read alone. One that cannot be read is only named."""
        suffix = PurePosixPath(name).suffix.lower() or _SUFFIXES.get(kind, "")
        if part.get_content_maintype() in {"image", "audio", "video"}:
            self.names.append(name)
            return []
        try:
            found = self._enclosures.read_file(_file_bytes(part), suffix)
        except ExtractionError as failure:
            self._name_unread(name, ErrorCode(failure.code))
            return []
        self.names.append(name)
        text = _Section(found.text, found.spans)
        return [_Section(name, is_heading=True), text] if text.weight else []

    def _enclosed_message(self, part: Message) -> list[_Section]:
        source = _source_of(part)
        name = file_name(part)
        if source is None:
            self._name_unread(name or "message", ErrorCode.CORRUPT_FILE)
            return []
        name = name or header(source, "Subject") or "message"
        enclosures = self._enclosures
        if enclosures.depth >= DEEPEST or _is_encrypted(source):
            reason = ErrorCode.PASSWORD_PROTECTED if _is_encrypted(source) else ErrorCode.TOO_LARGE
            self._name_unread(name, reason)
            return []
        self.names.append(name)
        enclosures.depth += 1
        sections = _message(source, enclosures)
        enclosures.depth -= 1
        return [_Section(name, is_heading=True), *sections]

    def _name_unread(self, name: str, reason: ErrorCode) -> None:
        self.names.append(name if reason in _WITHOUT_TEXT else f"{name} (not read: {_REASONS[reason]})")


def _file_bytes(part: Message) -> bytes:
    charset = given(part.get_content_charset, None)
    data = payload(part)
    # a text file alone does not say in which encoding it is, but the part does
    return decode_as(data, charset).encode() if charset and part.get_content_maintype() == "text" else data


def _children(part: Message) -> list[Message]:
    children = part.get_payload()
    return [child for child in children if isinstance(child, Message)] if isinstance(children, list) else []


def _fields(block: Message) -> str:
    return "\n".join(f"{name}: {header(block, name)}" for name in dict.fromkeys(block.keys()))


def _source_of(part: Message) -> Message | None:
    """Return the message that a part encloses. Against the standard some programs encode it; the parser does not know.

    None means that what is there is no message.
    """
    enclosed = _children(part)
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    if encoding not in {"base64", "quoted-printable"}:
        return enclosed[0] if enclosed else None
    if enclosed:
        written = io.StringIO()
        given(lambda: Generator(written, mangle_from_=False, maxheaderlen=0).flatten(enclosed[0]), None)
        encoded = written.getvalue()
    else:
        encoded = str(part.get_payload())
    if enclosed and enclosed[0].keys() and encoding == "base64":
        return enclosed[0]  # it says that it is encoded, and is not
    data = encoded.encode("utf-8", "surrogateescape")
    decoded = decode_base64(data) if encoding == "base64" else _unquoted(data)
    message = _parsed(decoded.decode("ascii", "surrogateescape"))
    return message if message.keys() else None


def _unquoted(data: bytes) -> bytes:
    carrier = Message()
    carrier["Content-Transfer-Encoding"] = "quoted-printable"
    carrier.set_payload(data.decode("ascii", "surrogateescape"))
    decoded = carrier.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""
