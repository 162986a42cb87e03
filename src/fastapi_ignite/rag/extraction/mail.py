"""The text of an e-mail: who wrote what to whom, and the body. Attachments are named, not read."""

from __future__ import annotations

from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import Parser
from typing import Final

from fastapi_ignite.rag.extraction.decoding import decode, unix_newlines
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.webpage import readable_text

_HEADERS: Final = ("Subject", "From", "To", "Cc", "Date")
_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNED_ONLY: Final = "signed-data"


def message_text(raw: str) -> str:
    """`raw` is the whole message as text, bytes beyond ASCII held as surrogates (`surrogateescape`).

    Raises:
        ExtractionError: the message is encrypted.
    """
    message = Parser().parsestr(raw)
    if message.get_content_type() in _ENCRYPTED and message.get_param("smime-type") != _SIGNED_ONLY:
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED, "The e-mail is encrypted; upload its decrypted text.")
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _readable_header(message.get(name)))]
    plain: list[str] = []
    html: list[str] = []
    attachments: list[str] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        filename = _readable_header(part.get_filename())
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
    words: list[str] = []
    try:
        for word, charset in decode_header(str(value)):
            words.append(word if isinstance(word, str) else _decoded(word, charset))
    except (MessageError, ValueError):
        words = [str(value)]
    joined = "".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(joined.replace("\x00", "").split())


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return _decoded(payload, part.get_content_charset()) if isinstance(payload, bytes) else ""


def _decoded(data: bytes, charset: str | None) -> str:
    """An unknown or wrong charset is common in old mail: then the bytes decide."""
    try:
        text = data.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    return unix_newlines(text).replace("\x00", "")
