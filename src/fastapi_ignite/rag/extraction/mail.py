"""The text of an e-mail: who wrote what to whom, and the body. Attachments are named, not read."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import Parser
from email.policy import Compat32
from typing import Final, TypeVar

from fastapi_ignite.rag.extraction.decoding import decode, unix_newlines
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.webpage import readable_text

_HEADERS: Final = ("Subject", "From", "To", "Cc", "Date")
_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNED_ONLY: Final = "signed-data"
_T = TypeVar("_T")
# The standard library takes time quadratic in the length of a list of parameters, and of a header of encoded words.
_LONGEST_PARAMETERS: Final = 4096
_PIECE_OF_HEADER: Final = re.compile(r".{1,8192}(?!\S)|.{1,8192}", re.DOTALL)


class _BoundedHeaders(Compat32):
    """Shows the parser no more of a parameter list than a kind, a charset and a long file name need."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        if name.lower().startswith("content-"):
            value = value[:_LONGEST_PARAMETERS]
        return str(super().header_fetch_parse(name, value))


def message_text(raw: str) -> str:
    """`raw` is the whole message as text, bytes beyond ASCII held as surrogates (`surrogateescape`).

    Raises:
        ExtractionError: the message is encrypted.
    """
    message = _given(lambda: Parser(policy=_BoundedHeaders()).parsestr(raw), None)
    if message is None:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    kind = _given(lambda: message.get_param("smime-type"), None)
    if message.get_content_type() in _ENCRYPTED and kind != _SIGNED_ONLY:
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED, "The e-mail is encrypted; upload its decrypted text.")
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _readable_header(message.get(name)))]
    plain: list[str] = []
    html: list[str] = []
    attachments: list[str] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        filename = _readable_header(_given(part.get_filename, None))
        if filename or part.get_content_disposition() == "attachment":
            attachments.append(filename or "unnamed")
        elif part.get_content_type() == "text/html":
            html.append(readable_text(_body(part)))
        elif part.get_content_maintype() == "text":
            plain.append(_body(part))
    body = plain if any(text.strip() for text in plain) else html
    if attachments:
        lines.append("Attachments: " + ", ".join(attachments))
    return "\n\n".join(["\n".join(lines), *(text.strip("\n") for text in body)]).strip("\n")


def _readable_header(value: object) -> str:
    if value is None:
        return ""
    joined = " ".join(map(_decoded_words, _PIECE_OF_HEADER.findall(str(value))))
    joined = joined.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(joined.replace("\x00", "").split())


def _given(answer: Callable[[], _T], otherwise: _T) -> _T:
    """The standard library raises a TypeError, among others, where the numbered parts of a parameter conflict."""
    try:
        return answer()
    except (MessageError, ValueError, TypeError, LookupError):
        return otherwise


def _decoded_words(header: str) -> str:
    words = _given(lambda: decode_header(header), [(header, None)])
    return "".join(word if isinstance(word, str) else _decoded(word, charset) for word, charset in words)


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return _decoded(payload, _given(part.get_content_charset, None)) if isinstance(payload, bytes) else ""


def _decoded(data: bytes, charset: str | None) -> str:
    """An unknown or wrong charset is common in old mail: then the bytes decide."""
    try:
        text = data.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    return unix_newlines(text).replace("\x00", "")
