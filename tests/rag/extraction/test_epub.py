"""EPUB books: which chapters are read, in which order, and what in a chapter is text."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError
from fastapi_ignite.rag.extraction.epub import read
from fastapi_ignite.rag.extraction.formats import MediaType
from support.open_documents import chapter, make_book
from support.sample_files import make_zip


def text_of(book: bytes) -> str:
    return read(book, MediaType.EPUB).text


class TestSpine:
    @pytest.mark.parametrize(
        ("stored", "address"),
        [
            ("one part.xhtml", "one%20part.xhtml"),
            ("one part.xhtml", "one part.xhtml"),
            ("kapitel-ä.xhtml", "kapitel-%C3%A4.xhtml"),
            ("kapitel-a\u0308.xhtml", "kapitel-ä.xhtml"),
            ("a%20b.xhtml", "a%20b.xhtml"),
            ("Text/c.xhtml", "Text/c.xhtml#start"),
            ("Text/c.xhtml", "./Text/x/../c.xhtml"),
            ("TEXT/C.XHTML", "Text/c.xhtml"),
        ],
    )
    def test_names_of_chapters(self, stored: str, address: str) -> None:
        book = make_book({stored: chapter("<p>found</p>"), "z.xhtml": chapter("<p>last</p>")},
                         spine={address: "", "z.xhtml": ""})  # fmt: skip
        assert text_of(book) == "found\n\nlast"

    def test_the_spine_gives_the_order_and_each_chapter_once(self) -> None:
        chapters = {f"{name}.xhtml": chapter(f"<p>{name}</p>") for name in ("a", "b", "c")}
        book = make_book(chapters, spine=dict.fromkeys(("c.xhtml", "a.xhtml#one", "b.xhtml", "a.xhtml#two"), ""))
        assert text_of(book) == "c\n\na\n\nb"

    def test_chapters_of_links_and_parts_out_of_order_are_kept(self) -> None:
        links = "".join(f'<li><a href="https://example.org/{n}">Entry {n}</a></li>' for n in range(20))
        book = make_book({"a.xhtml": chapter("<p>One</p>"), "b.xhtml": chapter(f"<h1>Reading</h1><ul>{links}</ul>")})
        found = text_of(book)
        assert all(f"Entry {n}" in found for n in range(20))

    def test_a_book_in_the_upper_folder_and_without_a_container(self) -> None:
        assert text_of(make_book({"a.xhtml": chapter("<p>a</p>")}, folder="")) == "a"
        package = '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="a.html" media-type='
        package += '"text/html"/></manifest></package>'
        book = make_zip({"mimetype": "application/epub+zip", "x/b.opf": package, "x/a.html": "<p>a"})
        assert text_of(book) == "a"

    def test_a_missing_part_is_passed_over_unless_half_of_the_book_is_missing(self) -> None:
        chapters = {f"{name}.xhtml": chapter(f"<p>{name}</p>") for name in ("a", "b", "c")}
        assert text_of(make_book(chapters, left_out="b.xhtml")) == "a\n\nc"
        with pytest.raises(ExtractionError) as caught:
            text_of(make_book({name: chapters[name] for name in ("a.xhtml", "b.xhtml")}, left_out="b.xhtml"))
        assert caught.value.code == ErrorCode.CORRUPT_FILE

    def test_what_a_program_may_show_instead(self) -> None:
        items = (
            '<item id="p" href="p.pdf" media-type="application/pdf" fallback="q"/>'
            '<item id="q" href="q.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="r" href="r.png" media-type="image/png" fallback="r"/>'
            '<item id="s" href="s.svg" media-type="image/svg+xml"/>'
        )
        chapters: dict[str, str | bytes] = {"a.xhtml": chapter("<p>a</p>"), "q.xhtml": chapter("<p>instead</p>")}
        chapters["s.svg"] = "<svg><title>no</title><text>A <tspan>drawn</tspan> title</text><text>page</text></svg>"
        book = make_book(chapters, spine={"a.xhtml": ""}, items=items)
        spine = "".join(f'<itemref idref="{name}"/>' for name in ("p", "r", "s", "unknown"))
        assert text_of(_with_spine(book, spine)) == "a\n\ninstead\n\nA drawn title\n\npage"


def _with_spine(book: bytes, more: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(book)) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    parts["OEBPS/book.opf"] = parts["OEBPS/book.opf"].replace(b"</spine>", more.encode() + b"</spine>")
    return make_zip(parts)


class TestChapters:
    @pytest.mark.parametrize(
        ("page", "text"),
        [
            (chapter("<p>a&nbsp;b &mdash; c &amp; d</p>"), "a\xa0b — c & d"),
            (chapter('<p>a b<a id="x"/>c</p><script src="x"/><p>d</p>'), "a bc\n\nd"),
            (chapter("<p>a</p>", head="<title/><style>p{}</style>"), "a"),
            (chapter("<p><![CDATA[1 < 2 & 3]]></p>"), "1 < 2 & 3"),
            (chapter("<svg><image/><text>Title</text></svg><p>a</p>"), "Title\n\na"),
            ('<!DOCTYPE html [<!ENTITY pub "Amber &#38; Co"><!ENTITY town "Turin">]><html><p>&town; &x;</p></html>',
             "Turin &x;"),
            ("<html><p>no end", "no end"),
            (chapter("<p>Größe</p>").replace("UTF-8", "iso-8859-1").encode("latin-1"), "Größe"),
            (chapter("<p>Größe</p>").replace("UTF-8", "utf-16").encode("utf-16"), "Größe"),
            (b"\xef\xbb\xbf" + chapter("<p>Größe</p>").encode(), "Größe"),
            (chapter("<p>Größe</p>").replace("UTF-8", "klingon").encode("cp1252"), "Größe"),
        ],
    )  # fmt: skip
    def test_what_is_text(self, page: str | bytes, text: str) -> None:
        assert text_of(make_book({"a.xhtml": page})) == text


class TestHostileBooks:
    def test_a_spine_that_names_a_chapter_without_end(self) -> None:
        book = make_book({"a.xhtml": chapter("<p>long</p>" * 1000)})
        assert len(text_of(_with_spine(book, '<itemref idref="c0"/>' * 100_000))) < 10_000

    @pytest.mark.parametrize(
        "package",
        ["", "no xml", "<package><manifest"],
    )
    def test_a_package_that_cannot_be_read(self, package: str) -> None:
        parts = {"mimetype": "application/epub+zip", "book.opf": package, "a.xhtml": chapter("<p>a</p>")}
        with pytest.raises(ExtractionError) as caught:
            text_of(make_zip(parts))
        assert caught.value.code == ErrorCode.CORRUPT_FILE

    @pytest.mark.parametrize(
        "page", ["<svg>" * 50_000, "<![CDATA[" * 50_000, "<head>" * 50_000, "<!DOCTYPE [" * 50_000]
    )
    def test_a_chapter_of_beginnings_ends(self, page: str) -> None:
        text_of(make_book({"a.xhtml": f"<html>{page}"}))


async def test_in_the_process_that_is_sealed(read: Callable[..., Awaitable[ExtractedText]]) -> None:
    page = chapter("<p>本</p>").replace("UTF-8", "shift_jis").encode("shift_jis")
    assert (await read(make_book({"a b.xhtml": page}, spine={"a%20b.xhtml": ""}))).text == "本"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8), min_size=1,
                max_size=6, unique_by=str.casefold), st.integers(0, 10**6))  # fmt: skip
def test_every_chapter_is_read_whatever_its_name(names: list[str], seed: int) -> None:
    choose = random.Random(seed)
    order = names[:]
    choose.shuffle(order)
    folders = {name: choose.choice(("", "Text/", "a b/")) for name in names}
    chapters = {f"{folders[name]}{name}.xhtml": chapter(f"<p>{name}</p>") for name in names}
    spine = {
        quote(address) if choose.random() < 0.5 else address: ""
        for address in (f"{folders[n]}{n}.xhtml" for n in order)
    }
    assert text_of(make_book(chapters, spine=spine)) == "\n\n".join(order)
