"""Messages that Outlook has saved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError
from fastapi_ignite.rag.extraction.child import extract_text
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.mail.msg import internet_message
from fastapi_ignite.rag.extraction.mail.outlook_rtf import unpacked_rtf
from support.ole_files import OutlookMessage, make_msg, make_ole

Read = Callable[..., Awaitable[ExtractedText]]


async def test_headers_body_and_attachments(read: Read) -> None:
    message = OutlookMessage(
        subject="Größe der Lieferung №5",
        body="Guten Tag,\r\nder Umfang beträgt 15 €.\r\n",
        cc=[("Grace Hopper", "grace@example.com"), ("", "list@example.com")],
        files=[("Übersicht 2026.bin", "application/octet-stream", b"\0\1\2" * 3000)],
    )
    found = await read(make_msg(message), "mail.msg")
    assert found.media_type == MediaType.OUTLOOK_MESSAGE
    assert found.text.startswith(
        "Subject: Größe der Lieferung №5\n"
        "From: Ada Lovelace <ada@example.com>\n"
        "To: Charles Babbage <charles@example.com>\n"
        "Cc: Grace Hopper <grace@example.com>, list@example.com\n"
        "Date: Sat, 14 Mar 2026 15:09:00 +0000\n"
    )
    assert "Guten Tag,\nder Umfang beträgt 15 €." in found.text
    assert "Übersicht 2026.bin" in found.text
    assert "AAECAAEC" not in found.text


async def test_the_html_body_is_read_where_there_is_no_plain_one(read: Read) -> None:
    found = await read(make_msg(OutlookMessage(html="<p>Only <b>hére</b></p>")))
    assert found.text.endswith("\n\nOnly hére")


async def test_texts_of_a_code_page(read: Read) -> None:
    """Old versions of Outlook store one byte for each character, in the code page that a property names."""
    found = await read(make_msg(OutlookMessage(subject="Договор", body="Срок поставки", code_page=1251)))
    assert "Subject: Договор" in found.text
    assert "Срок поставки" in found.text


async def test_a_message_in_a_message_is_read(read: Read) -> None:
    inner = OutlookMessage(subject="The first mail", body="It said this.")
    found = await read(make_msg(OutlookMessage(body="See below.", nested=[inner])))
    assert found.text.index("See below.") < found.text.index("It said this.")


def refused(data: bytes) -> str:
    with pytest.raises(ExtractionError) as caught:
        extract_text(data, ".msg")
    return caught.value.code


async def test_a_formatted_body_is_read_where_there_is_no_other_one(read: Read) -> None:
    """The packed body is the first example of [MS-OXRTFCP]."""
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c0900206277 05b06c647d0a800fa0"
    )
    assert unpacked_rtf(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert (await read(make_msg(OutlookMessage(packed_rtf=packed)))).text.endswith("\n\nhello world")


def outcome(data: bytes) -> str:
    try:
        extract_text(data, ".msg")
    except ExtractionError as failure:
        return failure.code
    return "read"


def test_damage_has_a_code() -> None:
    codes = set()
    whole = make_msg(OutlookMessage(body="text"))
    for place in range(512, len(whole), 97):
        damaged = whole[:place] + b"\xff\xff\xff" + whole[place + 3 :]
        codes.add(outcome(damaged))
    assert codes <= {"read", ErrorCode.CORRUPT_FILE}
    for cut in (make_ole({"__substg1.0_1000001F": b"a"}), whole[:700]):
        with pytest.raises(ExtractionError) as caught:
            internet_message(cut)
        assert caught.value.code == ErrorCode.CORRUPT_FILE


def test_an_encrypted_message_says_so() -> None:
    assert refused(make_msg(OutlookMessage(kind="IPM.Note.SMIME"))) == ErrorCode.PASSWORD_PROTECTED


def test_messages_nested_without_end_are_read_to_a_depth() -> None:
    message = OutlookMessage(body="The innermost one.")
    for _ in range(60):
        message = OutlookMessage(body="Another one.", nested=[message])
    assert "Another one." in extract_text(make_msg(message), ".msg").text
