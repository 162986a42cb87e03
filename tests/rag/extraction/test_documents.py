"""The text of office documents, PDFs, books and web pages, and the page of each part."""

from __future__ import annotations

import base64
import codecs
import quopri
from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ExtractedText, page_at
from support import sample_files

Read = Callable[..., Awaitable[ExtractedText]]


def page_of(found: ExtractedText, phrase: str) -> int | None:
    return page_at(found.page_starts, found.text.index(phrase))


class TestPdf:
    async def test_each_page_is_found_by_code_points(self, read: Read) -> None:
        found = await read(sample_files.make_pdf(["Première page à 15 €", "Zweite Seite: Größe", "Third page"]))
        assert found.media_type == "application/pdf"
        assert found.page_starts is not None
        assert [found.text[start:].split("\n", 1)[0] for start in found.page_starts] == [
            "Première page à 15 €",
            "Zweite Seite: Größe",
            "Third page",
        ]

    async def test_a_blank_page_keeps_its_number(self, read: Read) -> None:
        found = await read(sample_files.make_pdf(["first", "", "", "fourth", *["", "odd page"] * 30]))
        assert (page_of(found, "first"), page_of(found, "fourth")) == (1, 4)
        assert found.page_starts is not None
        assert len(found.page_starts) == 64
        assert found.text[found.page_starts[63] :] == "odd page"

    async def test_lines_end_in_newlines_only(self, read: Read) -> None:
        found = await read(sample_files.make_pdf(["one\ntwo", "three"]))
        assert found.text.split() == ["one", "two", "three"]
        assert "\r" not in found.text

    async def test_what_repeats_on_every_page_is_kept(self, read: Read) -> None:
        pages = [f"ACME Corp confidential\nbody number {number}" for number in range(12)]
        found = await read(sample_files.make_pdf(pages))
        assert found.text.count("ACME Corp confidential") == 12


class TestOfficeAndBooks:
    @pytest.mark.parametrize(
        ("data", "media_type"),
        [
            (sample_files.make_docx(["Übergröße & more", "Second"]), "wordprocessingml.document"),
            (sample_files.make_odt(["Übergröße & more", "Second"]), "opendocument.text"),
            (sample_files.make_rtf(["Übergröße & more", "Second"]), "application/rtf"),
            (sample_files.make_epub(["Übergröße & more", "Second"]), "application/epub+zip"),
        ],
        ids=["docx", "odt", "rtf", "epub"],
    )
    async def test_paragraphs_without_pages(self, read: Read, data: bytes, media_type: str) -> None:
        found = await read(data, "any.name")
        assert found.text.split("\n\n") == ["Übergröße & more", "Second"]
        assert found.media_type.endswith(media_type)
        assert found.page_starts is None

    async def test_special_characters_of_a_word_file_survive(self, read: Read) -> None:
        text = "AT&T, R&D & <b> \"quoted\" 'single' a<b>c"
        assert (await read(sample_files.make_docx([text]))).text == text

    async def test_slides_are_pages(self, read: Read) -> None:
        found = await read(sample_files.make_pptx(["Erste Größe " * 40, "", "Dritte ✓ " * 30, "Last slide"]))
        assert found.page_starts is not None
        assert len(found.page_starts) == 4
        assert [page_of(found, phrase) for phrase in ("Erste", "Dritte", "Last slide")] == [1, 3, 4]
        assert found.text[found.page_starts[3] :] == "Last slide"

    async def test_a_table_row_is_a_line(self, read: Read) -> None:
        found = await read(sample_files.make_xlsx([["Umsatz €", 2023], ["Café", 12.5]]))
        assert found.text == "Sheet1\n\nUmsatz €\t2023\nCafé\t12.5"
        assert found.page_starts is None


class TestEmail:
    async def test_headers_body_and_names_of_attachments(self, read: Read) -> None:
        found = await read(sample_files.make_eml("Grüße", "Ein schöner Tag.\n", attachment=b"\0\1\2"), "mail.eml")
        assert found.media_type == "message/rfc822"
        assert "Subject: Grüße\nFrom: Ada Lovelace <ada@example.com>" in found.text
        assert "Ein schöner Tag." in found.text
        assert "Attachments: figures.bin" in found.text

    async def test_a_web_page_as_body(self, read: Read) -> None:
        html = "<style>p{color:red}</style><p>Hello <b>thére</b></p>"
        found = await read(sample_files.make_eml("Hi", "", html=html), "mail.eml")
        assert found.text.endswith("\n\nHello thére")

    async def test_an_unknown_charset_falls_back_to_the_bytes(self, read: Read) -> None:
        raw = b"From: a@b.c\nSubject: x\nContent-Type: text/plain; charset=klingon\n\nGr\xc3\xbc\xc3\x9fe"
        assert (await read(raw, "m.eml")).text.endswith("Grüße")

    @pytest.mark.parametrize(
        "coding", ["enclosed base64", "base64 twice", "quoted-printable", "x-uuencode", "behind blanks"]
    )
    async def test_attachments_are_read_whatever_their_encoding(self, read: Read, coding: str) -> None:
        """The code of every reader is loaded before the process gives up its rights, so none need be foreseen."""
        data = sample_files.make_docx(["Bill 4711"])
        code = base64.encodebytes(data).decode()
        if coding == "quoted-printable":
            code = quopri.encodestring(data, quotetabs=True).decode()
        elif coding == "x-uuencode":
            code = "begin 644 bill\n" + codecs.encode(data, "uu").decode().partition("\n")[2]
        elif coding == "behind blanks":
            code = base64.encodebytes(b"\r\n" + sample_files.make_pdf(["Bill 4711"])).decode()
        name = coding if coding in {"quoted-printable", "x-uuencode"} else "base64"
        mail = _mail("application/octet-stream", name, code)
        if coding in {"enclosed base64", "base64 twice"}:
            kind = "message/rfc822" if coding == "enclosed base64" else "application/octet-stream"
            mail = _mail(kind, "base64", base64.encodebytes(mail.encode()).decode())
        assert "Bill 4711" in (await read(mail.encode(), "mail.eml")).text

    async def test_a_message_is_known_by_its_headers(self, read: Read) -> None:
        found = await read(sample_files.make_eml("Hi", "Body", html="<p>Body</p>"), "message-without-suffix")
        assert found.media_type == "message/rfc822"


class TestHtml:
    async def test_only_what_is_read_is_kept(self, read: Read) -> None:
        page = (
            "<!doctype html><html><head><title>Cats</title><style>b{}</style><script>var hidden=1</script></head>"
            "<body><nav><a href='/'>Home</a></nav><h1>About&nbsp;cats</h1><p>They <b>purr</b>.<br>Often.</p>"
            "<script>alert('hidden')</script><ul><li>fur<li>paws</ul>"
            "<aside><nav>Related: dogs</nav></aside></body></html>"
        )
        found = await read(page.encode(), "page.html")
        assert found.text == "Cats\n\nAbout\xa0cats\n\nThey purr.\nOften.\n\nfur\npaws\n\nRelated: dogs"

    async def test_cells_of_a_row_share_a_line(self, read: Read) -> None:
        page = b"<html><table><tr><td><p>Name</p></td><td>\n<div>Age</div></td></tr><tr><td>Ann<td>7</table>"
        assert (await read(page)).text == "Name\tAge\nAnn\t7"

    async def test_preformatted_text_keeps_its_shape(self, read: Read) -> None:
        assert "def f():\n    return 1" in (await read(b"<html><pre>def f():\n    return 1</pre>")).text

    async def test_broken_markup_loses_no_text(self, read: Read) -> None:
        assert (await read(b"<html><nav>menu<p>the whole story")).text == "menu\n\nthe whole story"

    async def test_declared_and_marked_encodings(self, read: Read) -> None:
        declared = '<html><meta charset="windows-1251"><p>Договор</p>'
        assert (await read(declared.encode("cp1251"))).text == "Договор"
        assert (await read("<html><p>Größe</p>".encode("utf-16"))).text == "Größe"


class TestContentDecides:
    @pytest.mark.parametrize("name", ["a.txt", "a.docx", "a.html", "a.png", "noname", "a.tar.gz"])
    async def test_a_pdf_under_any_name(self, read: Read, name: str) -> None:
        found = await read(sample_files.make_pdf(["the real content"]), name)
        assert (found.media_type, found.text.strip()) == ("application/pdf", "the real content")

    async def test_a_web_page_named_pdf(self, read: Read) -> None:
        assert (await read(b"<!DOCTYPE html><p>page</p>", "x.pdf")).media_type == "text/html"

    async def test_markup_in_a_source_file_is_the_text(self, read: Read) -> None:
        source = "<html>{% block body %}<script>go()</script>{% endblock %}"
        assert (await read(source.encode(), "base.vue")).text == source

    async def test_a_text_may_speak_of_magic_numbers(self, read: Read) -> None:
        for text in ("RIFF is the magic of WAV.", "ID3 tags", "BZh and PK archives", "From: nowhere"):
            assert (await read(text.encode(), "notes.txt")).text == text


def _mail(kind: str, encoding: str, content: str) -> str:
    """Return a mail with one attached file."""
    return (
        "Subject: Files\nFrom: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\nSee the file.\n--b\nContent-Type: {kind}\nContent-Disposition: attachment;"
        f" filename=bill\nContent-Transfer-Encoding: {encoding}\n\n{content}\n--b--\n"
    )
