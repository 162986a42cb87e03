"""Decodes the text of one part of a message."""

from __future__ import annotations

import binascii
import re
from email.message import Message
from typing import Final

from fastapi_ignite.rag.extraction.decoding import decode_as
from fastapi_ignite.rag.extraction.mail.headers import given

_BASE64_LINE: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_LINE_OF_BASE64: Final = 4
_ARMOUR: Final = tuple(f"PGP {kind}-----" for kind in ("MESSAGE", "SIGNATURE", "PUBLIC KEY BLOCK"))
_SIGNED: Final = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Z][A-Za-z]*: .*\n)*\n", re.MULTILINE)
_QUOTED: Final = re.compile(r">*")


def payload(part: Message) -> bytes:
    """Return the bytes of a part that holds no other parts.

    Lines behind base64, which mailing lists put there, are kept. What is said to be base64 and is not is kept too.
    """
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    if encoding == "base64":
        text = part.get_payload()
        return decode_base64(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else b"")
    data: object = given(lambda: part.get_payload(decode=True), None)
    return data if isinstance(data, bytes) else b""


def decode_base64(data: bytes) -> bytes:
    lines = data.split()
    count = next((n for n, line in enumerate(lines) if not _BASE64_LINE.fullmatch(line)), len(lines))
    code = b"".join(lines[:count])
    code = code[: len(code) - (len(code.rstrip(b"=")) % _LINE_OF_BASE64 == 1)]
    try:
        decoded = binascii.a2b_base64(code + b"==")
    except binascii.Error:
        decoded = b""
    if count == len(lines):
        return decoded
    # The rest is found again by the word it begins with, so that its lines stay as they are.
    rest = data[data.index(lines[count]) :]
    return decoded + b"\n" + rest if decoded else data


def plain_text(part: Message) -> str:
    """Return the text of a plain part: lines that were only broken for the way are joined, and ciphers are left out."""
    text = decode_as(payload(part), given(part.get_content_charset, None))
    if _parameter(part, "format") == "flowed":
        text = _unflowed(text, delete_space=_parameter(part, "delsp") == "yes")
    return _without_armour(text)


def html_source(part: Message) -> str:
    return decode_as(payload(part), given(part.get_content_charset, None), declared=True)


def _parameter(part: Message, name: str) -> str:
    value: object = given(lambda: part.get_param(name), None)
    return str(value).lower()


def _unflowed(text: str, *, delete_space: bool) -> str:
    """Join the lines of RFC 3676: one that ends in a blank goes on in the next one of the same quotation."""
    joined: list[list[str]] = []
    depth, flows = 0, False
    for line in text.split("\n"):
        marks = _QUOTED.match(line)
        quoted = marks.end() if marks is not None else 0
        content = line[quoted:].removeprefix(" ")
        ends_flow = content == "-- "
        if flows and quoted == depth and not ends_flow:
            joined[-1].append(content)
        else:
            joined.append([">" * quoted + (" " if quoted else ""), content])
        depth, flows = quoted, content.endswith(" ") and not ends_flow
        if flows and delete_space:
            joined[-1][-1] = content[:-1]
    return "\n".join("".join(line).rstrip(" ") for line in joined)


def _without_armour(text: str) -> str:
    """Leave out the letters of signatures and ciphers, which nobody reads."""
    if "-----BEGIN PGP " not in text:
        return text
    text = _SIGNED.sub("", text)
    for kind in _ARMOUR:
        kept, position = [], 0
        while (start := text.find(f"-----BEGIN {kind}", position)) >= 0:
            end = text.find(f"-----END {kind}", start)
            if end < 0:
                break
            kept.append(text[position:start])
            position = end + len(f"-----END {kind}")
        text = "".join(kept) + text[position:]
    return text
