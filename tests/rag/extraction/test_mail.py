"""The text of e-mails as mail programs write them: bodies, alternative forms, enclosed messages and attachments."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from email import message_from_string
from email.message import EmailMessage, Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError, ExtractionLimits
from fastapi_ignite.rag.extraction.child import extract_text
from fastapi_ignite.rag.extraction.enclosures import Enclosures
from fastapi_ignite.rag.extraction.errors import ErrorCode
from fastapi_ignite.rag.extraction.mail import read_message
from support import sample_files, sample_pdfs

HEADERS = "From: Office <office@example.com>\nTo: all@example.com\nSubject: Fire drill\n"


def read(source: str | bytes) -> ExtractedText:
    return extract_text(source if isinstance(source, bytes) else source.encode(), ".eml")


def body(source: str | bytes) -> str:
    """Return the text after the headers."""
    return read(source).text.partition("\n\n")[2]


def parts(kind: str, *children: str) -> str:
    """Return a multipart message; each child is its headers, an empty line and its text."""
    inside = "".join(f"--b\n{child}\n" for child in children)
    return f"{HEADERS}MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=b\n\n{inside}--b--\n"


PLAIN, HTML = "Content-Type: text/plain\n\n", "Content-Type: text/html\n\n"
STORY = "The fire drill takes place on 14 March at ten o'clock."


class TestBodies:
    def test_every_part_of_mixed_in_order(self) -> None:
        mail = parts("mixed", f"{HTML}<p>{STORY}</p>", PLAIN + "Sent by the list.", HTML + "<p>Footer</p>")
        assert body(mail) == f"{STORY}\n\nSent by the list.\n\nFooter"

    @pytest.mark.parametrize("stub", ["", "View this e-mail in your browser: https://example.com/" + "x" * 300])
    def test_a_page_is_read_where_the_plain_form_says_nothing(self, stub: str) -> None:
        assert body(parts("alternative", PLAIN + stub, f"{HTML}<p>{STORY}</p>")) == STORY

    def test_the_plain_form_is_read_where_the_page_says_nothing(self) -> None:
        assert body(parts("alternative", PLAIN + STORY, HTML + "<img src=cid:x>")) == STORY

    def test_the_richer_form_keeps_its_structure(self) -> None:
        page = "<h1>Prices</h1><table><tr><th>Plan<th>EUR<tr><td>Team<td>49</table>"
        found = read(parts("alternative", PLAIN + "Prices\nTeam 49", HTML + page))
        spans = [(span.kind.value, found.text[span.start : span.end]) for span in found.spans]
        assert spans == [("heading", "Prices"), ("table", "Plan\tEUR\nTeam\t49")]

    def test_a_page_with_its_pictures(self) -> None:
        picture = "Content-Type: image/png; name=logo.png\nContent-Disposition: inline; filename=logo.png\n\nx"
        related = f"Content-Type: multipart/related; boundary=c\n\n--c\n{HTML}<p>{STORY}</p>\n--c\n{picture}\n--c--"
        found = read(parts("alternative", PLAIN + "x", related)).text
        assert found.endswith(f"Fire drill\nFrom: Office <office@example.com>\nTo: all@example.com\n\n{STORY}")

    def test_a_page_that_a_browser_saved_comes_without_its_style_sheets(self) -> None:
        style, script = "Content-Type: text/css\n\np{color:red}", "Content-Type: text/javascript\n\nalert(1)"
        assert body(parts("related", f"{HTML}<p>{STORY}</p>", style, script)) == STORY

    @pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/mixed; boundary=none"])
    def test_parts_without_a_boundary_are_a_text(self, kind: str) -> None:
        assert body(f"{HEADERS}Content-Type: {kind}\n\n{STORY}") == STORY

    def test_parts_that_were_encoded_as_a_whole(self) -> None:
        code = base64.encodebytes(f"--b\n{HTML}<p>{STORY}</p>\n--b--\n".encode()).decode()
        head = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n"
        assert body(HEADERS + head + code) == STORY

    def test_signatures_and_ciphers_are_not_text(self) -> None:
        signature = "Content-Type: application/pgp-signature; name=signature.asc\n\niQIzBAEBCAAdFiEE"
        assert body(parts("signed", PLAIN + STORY, signature)) == STORY
        armour = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{STORY}\n-----BEGIN PGP SIGNATURE-----\n\niQIz\n"
        assert body(f"{HEADERS}\n{armour}-----END PGP SIGNATURE-----\n").strip() == STORY

    def test_lines_broken_for_the_way_are_joined(self) -> None:
        flowed = "Content-Type: text/plain; format=flowed\n\n"
        lines = "One \nline.\n> quoted \n> text\n>> deeper\n From here\n-- \nAda \n"
        assert body(HEADERS + flowed + lines) == "One line.\n> quoted text\n>> deeper\nFrom here\n--\nAda"
        deleted = "Content-Type: text/plain; format=flowed; delsp=yes\n\n日本 \n語\n"
        assert body(HEADERS + deleted) == "日本語"

    def test_an_invitation_is_read_once(self) -> None:
        event = (
            "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nDTSTART:16010101T000000\nEND:VTIMEZONE\nBEGIN:VEVENT\n"
            'SUMMARY:Review\\, part 2\nDTSTART;TZID="W. Europe":20260314T100000\nDTEND:20260314T110000Z\n'
            "LOCATION:Room\n  5\nORGANIZER;CN=Ada:mailto:ada@example.com\nEND:VEVENT\nEND:VCALENDAR\n"
        )
        file = 'Content-Type: application/ics; name="invite.ics"\nContent-Disposition: attachment\n\n' + event
        mail = parts("mixed", PLAIN + "Please come.", "Content-Type: text/calendar; method=REQUEST\n\n" + event, file)
        assert body(mail) == (
            "Please come.\n\nEvent: Review, part 2\nStart: 2026-03-14 10:00 (W. Europe)\nEnd: 2026-03-14 11:00 (UTC)\n"
            "Location: Room 5\nOrganizer: Ada <ada@example.com>"
        )

    def test_an_invitation_is_no_other_form_of_the_text(self) -> None:
        event = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Review of the whole budget\nEND:VEVENT\nEND:VCALENDAR\n"
        forms = (PLAIN + STORY, f"{HTML}<p>{STORY}</p>", "Content-Type: text/calendar; method=REQUEST\n\n" + event)
        assert body(parts("alternative", *forms)) == f"Event: Review of the whole budget\n\n{STORY}"

    def test_headers_alone_are_a_message(self) -> None:
        assert read(HEADERS).text == "Subject: Fire drill\nFrom: Office <office@example.com>\nTo: all@example.com"

    def test_several_messages_in_a_file(self) -> None:
        one = f"From office@example.com Mon Feb  2 10:00:00 2026\n{HEADERS}\nFirst.\n>From the office\n\n"
        two = "From ada@example.com Tue Feb  3 10:00:00 2026\nSubject: Reply\nFrom: Ada\n\nSecond.\nFrom here 2026\n"
        found = read(one + two)
        assert [found.text[span.start : span.end] for span in found.spans] == ["Fire drill", "Reply"]
        assert "First.\nFrom the office\n\nReply\n\nSubject: Reply\nFrom: Ada\n\nSecond.\nFrom here 2026" in found.text


class TestEncodings:
    @pytest.mark.parametrize(
        ("declared", "data", "text"),
        [
            ("us-ascii", "Grüße".encode(), "Grüße"),
            ("iso-8859-1", "Grüße".encode(), "Grüße"),
            ("iso-8859-1", b"\x93Gr\xfc\xdfe\x94 15 \x80", "“Grüße” 15 €"),
            ("gb2312", "朱镕基同志".encode("gb18030"), "朱镕基同志"),
            ("utf-8", b"Die sch\xf6ne Frau in M\xfcnchen", "Die schöne Frau in München"),
            ("iso-2022-jp", "日本語".encode("iso2022_jp"), "日本語"),
            ("punycode", b"abc-1", "abc-1"),
            ("unicode_escape", b"\\u0041", "\\u0041"),
        ],
    )
    def test_the_bytes_decide_where_the_charset_is_wrong(self, declared: str, data: bytes, text: str) -> None:
        for encoded in (data, base64.encodebytes(data)):
            coding = "8bit" if encoded == data else "base64"
            head = f"{HEADERS}Content-Type: text/plain; charset={declared}\nContent-Transfer-Encoding: {coding}\n\n"
            assert body(head.encode() + encoded).strip() == text

    def test_damaged_codes(self) -> None:
        code = base64.encodebytes(STORY.encode()).decode()
        base = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"
        assert (
            body(parts("mixed", f"{base}{code}\n____\nA footer of the list")) == f"{STORY}\n____\nA footer of the list"
        )
        assert STORY.startswith(body(HEADERS + base + code[:41]).strip())
        quoted = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        assert body(HEADERS + quoted + "10 =3D ten =XX G=C3=BC=\nte =\n") == "10 = ten =XX Güte "

    def test_headers_in_any_encoding(self) -> None:
        raw = (
            b"Subject: Gr\xfc\xdfe aus M\xfcnchen C:\\users =?utf-8?q?=2E?=\n"
            b"From: =?utf-8?q?J=C3=BC?= =?utf-8?q?rgen?= <j@example.com>\nTo: "
        )
        found = read(raw + "Zoë, =?x-unknown?b?QUJD?=\u202e\x07 x\nDate: yesterday\n\n.".encode()).text
        assert found.startswith(
            "Subject: Grüße aus München C:\\users .\nFrom: Jürgen <j@example.com>\nTo: Zoë, ABC x\nDate: yesterday"
        )

    def test_a_message_saved_as_utf_16(self) -> None:
        assert body((HEADERS + "\nGrüße").encode("utf-16")) == "Grüße"


class TestEnclosedMessages:
    INNER = (
        "Subject: Offer\nFrom: Vendor <v@example.com>\nContent-Type: text/plain; charset=utf-8\n\n"
        "It costs 18 000 francs.\n"
    )
    TEXT = "Offer\n\nSubject: Offer\nFrom: Vendor <v@example.com>\n\nIt costs 18 000 francs."

    @pytest.mark.parametrize("coding", ["7bit", "base64", "quoted-printable", "base64 in name only"])
    def test_a_message_in_a_message(self, coding: str) -> None:
        encoded = {
            "base64": base64.encodebytes(self.INNER.encode()).decode(),
            "quoted-printable": self.INNER.replace("=", "=3D").replace("francs", "fr=\nancs"),
        }.get(coding, self.INNER)
        head = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: {coding.split(maxsplit=1)[0]}\n\n"
        found = read(parts("mixed", PLAIN + "See below.", head + encoded))
        assert found.text.endswith(f"Attachments: Offer\n\nSee below.\n\n{self.TEXT}")
        assert [found.text[span.start : span.end] for span in found.spans] == ["Offer"]

    def test_what_is_no_message_leaves_no_letters(self) -> None:
        head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        assert "QUJD" not in read(parts("mixed", PLAIN + STORY, head + "QUJDREVGR0hJSktM\n" * 3)).text

    def test_depth_is_bounded(self) -> None:
        mail = "Subject: innermost\nFrom: a\n\ntext"
        for level in range(25):
            mail = f"Subject: level {level}\nFrom: a\nContent-Type: message/rfc822\n\n{mail}"
        text = read(mail).text
        assert ("level 24" in text, "(not read: too large" in text, "innermost" in text) == (True, True, False)

    def test_a_report_on_delivery(self) -> None:
        status = (
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nFinal-Recipient: ada\nStatus: 5.1.1\n"
        )
        assert body(parts("report", PLAIN + "Failed.", status)) == (
            "Failed.\n\nReporting-MTA: dns; mx\n\nFinal-Recipient: ada\nStatus: 5.1.1"
        )


class TestAttachedFiles:
    def mail(self, *files: tuple[str, bytes, str]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"], message["From"] = "Files", "ada@example.com"
        message.set_content("See the files.")
        for name, data, kind in files:
            main, sub = kind.split("/")
            message.add_attachment(data, maintype=main, subtype=sub, filename=name)
        return message

    def test_files_that_hold_text_are_read_under_their_names(self) -> None:
        mail = self.mail(
            ("notes.txt", "Größe: 42".encode(), "application/octet-stream"),
            ("page.html", b"<html><h1>Page</h1><p>text", "application/octet-stream"),
            ("minutes.docx", sample_files.make_docx(["Minutes of May"]), "application/octet-stream"),
            ("bill.pdf", sample_files.make_pdf(["Bill 4711"]), "application/pdf"),
            ("offer.eml", b"Subject: Offer\nFrom: a@example.com\n\nInside", "application/octet-stream"),
            ("photo.jpg", b"\xff\xd8\xff", "image/jpeg"),
            ("figures.bin", b"\x00\x01\x02", "application/octet-stream"),
            ("broken.pdf", b"%PDF-1.4 broken", "application/pdf"),
        )
        found = read(mail.as_bytes())
        names = "notes.txt, page.html, minutes.docx, bill.pdf, offer.eml, photo.jpg, figures.bin, broken.pdf"
        assert f"\nAttachments: {names} (not read: damaged)\n\nSee the files.\n" in found.text
        for text in (
            *("notes.txt\n\nGröße: 42", "page.html\n\nPage\n\ntext", "minutes.docx\n\nMinutes of May"),
            *("bill.pdf\n\nBill 4711", "offer.eml\n\nSubject: Offer\nFrom: a@example.com\n\nInside"),
        ):
            assert f"\n\n{text}" in found.text
        headings = [found.text[span.start : span.end] for span in found.spans if span.kind.value == "heading"]
        assert headings == ["notes.txt", "page.html", "Page", "minutes.docx", "bill.pdf", "offer.eml"]

    @pytest.mark.parametrize(
        "disposition",
        [
            "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.txt",
            "attachment; filename*0*=utf-8''Gr%C3%B6; filename*1*=%C3%9Fe.txt",
            'attachment; filename="=?utf-8?B?R3LDtsOfZS50eHQ=?="',
            'inline; filename="C:\\\\docs\\\\Gr\u202eö\u202cße.txt"',
        ],
    )
    def test_names_of_files(self, disposition: str) -> None:
        part = f"Content-Type: text/plain; charset=utf-8\nContent-Disposition: {disposition}\n\n{STORY}"
        found = read(parts("mixed", PLAIN + "x", part)).text
        assert f"Attachments: Größe.txt\n\nx\n\nGröße.txt\n\n{STORY}" in found

    def test_a_file_that_is_the_whole_message(self) -> None:
        mail = f"{HEADERS}Content-Type: text/csv; name=a.csv\nContent-Disposition: attachment\n\na,b\n1,2\n"
        assert body(mail) == "a.csv\n\na,b\n1,2"

    def test_more_files_than_one_message_may_hold_are_named(self) -> None:
        text = read(self.mail(*((f"{n}.txt", b"text", "text/plain") for n in range(60))).as_bytes()).text
        assert (text.count("(not read: too large, or one too many)"), text.count("\n\ntext")) == (10, 50)

    def test_a_file_on_which_its_reader_fails_costs_only_itself(self) -> None:
        def fail(data: bytes, *_: object) -> ExtractedText:
            raise (MemoryError if data == b"huge" else ValueError)

        mail = self.mail(("a.bin", b"odd", "application/x-a"), ("b.bin", b"huge", "application/x-b")).as_bytes()
        text = read_message(mail, Enclosures(fail)).text
        assert "a.bin (not read: its reader failed), b.bin (not read: too large, or one too many)" in text
        assert text.endswith("See the files.")

    @pytest.mark.parametrize("code", ErrorCode)
    def test_a_file_is_named_whatever_is_wrong_with_it(self, code: ErrorCode) -> None:
        def refuse(*_: object) -> ExtractedText:
            raise ExtractionError(code)

        text = read_message(self.mail(("a.bin", b"odd", "application/x-a")).as_bytes(), Enclosures(refuse)).text
        assert "Attachments: a.bin" in text
        assert text.endswith("See the files.")

    async def test_a_file_that_ends_its_parser_costs_only_itself(
        self, read: Callable[..., Awaitable[ExtractedText]]
    ) -> None:
        files = [("good.pdf", sample_files.make_pdf(["Bill 4711"]), "application/pdf")]
        files.insert(0, ("endless.pdf", sample_pdfs.endless_forms(), "application/pdf"))
        limits = ExtractionLimits(memory_bytes=600 * 1024**2, cpu_seconds=4)
        text = (await read(self.mail(*files).as_bytes(), "a.eml", limits)).text
        assert re.search(r"Attachments: endless\.pdf \(not read: [a-z, ]+\), good\.pdf\n\nSee the files\.", text)
        assert text.endswith("Bill 4711")

    def test_an_encrypted_part_is_named(self) -> None:
        secret = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n\nMIAGCSqGSIb3DQEH"
        assert (
            read(parts("mixed", PLAIN + STORY, secret))
            .text.partition("\n\n")[0]
            .endswith("smime.p7m (not read: encrypted)")
        )
        with pytest.raises(ExtractionError, match="password_protected"):
            read(HEADERS + secret)


def _leaves(message: Message) -> list[str]:
    """Return the text parts that the standard library finds, independently of our reader."""
    return [str(part.get_payload()).strip() for part in message.walk() if part.get_content_maintype() == "text"]


_WORD = st.text("abcdefgh ", min_size=3, max_size=20).map(lambda text: f"w{text}w")
_LEAF = st.tuples(st.sampled_from(["plain", "html"]), _WORD)
_TREE = st.recursive(
    _LEAF,
    lambda child: st.tuples(st.sampled_from(["mixed", "related", "signed"]), st.lists(child, max_size=4)),
    max_leaves=12,
)


def _built(tree: tuple[str, object], depth: int = 0) -> str:
    kind, inside = tree
    if isinstance(inside, str):
        return f"Content-Type: text/{kind}\n\n{inside}\n"
    assert isinstance(inside, list)
    children = "".join(f"--b{depth}\n{_built(child, depth + 1)}\n" for child in inside)
    return f"Content-Type: multipart/{kind}; boundary=b{depth}\n\n{children}--b{depth}--\n"


@settings(max_examples=25, deadline=None)
@given(_TREE)
def test_every_text_of_a_message_is_read_in_order(tree: tuple[str, object]) -> None:
    source = HEADERS + _built(tree)
    expected = " ".join(" ".join(_leaves(message_from_string(source))).split())
    assert " ".join(body(source).split()) == expected
