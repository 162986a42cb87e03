"""The processor time for a file must grow in proportion to its size, whatever the file contains."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial

import pytest

from fastapi_ignite.rag.extraction import ExtractionError, epub, odf, rtf
from fastapi_ignite.rag.extraction.child import extract_text
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.plain import plain_spans
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.chunking import chunk_text
from fastapi_ignite.rag.text.sentences import split_sentences
from support.open_documents import make_book, make_open_document

SIZE = 30_000
# a file of four times the size costs four times as much if the cost is linear, and sixteen times if it is quadratic
FACTOR, MOST = 4, 8
CLOCK_SECONDS = 0.01
HEADERS = "From: a@example.com\nSubject: x\nMIME-Version: 1.0\n"
MULTIPART = HEADERS + "Content-Type: multipart/mixed; boundary=b\n\n"

PAGES = (
    *("<!-- ", "<!-- >", "<!", "<?a ", "<![CDATA[", "<", "<a", "</", "</a ", "&", "&#1", "&lt", "\x00"),
    *("<script>", "<script></scrip ", "<title>", "<title></titl>", "<textarea>", "<nav>", "<head>", "<td> ", "<br>"),
    *('<a b="', "<a b='>\"", '<a b=">"', "<a b='\"><a c=\"'>", "<div></p>", "<b><p>", "<table><b>x", "<svg><desc>"),
    *(" <p>", "<pre>\n", "<a " + "a=b " * 1000, "<" + "a" * 1000),
)
MAILS = {
    "words of a header": (HEADERS + "To: ", "=?utf-8?q?a?= "),
    "beginnings of words": (HEADERS + "To: ", "=?utf-8?q?"),
    "lines of a header": (HEADERS + "To: ", "=?utf-8?b?QQ==?=\n "),
    "semicolons": (HEADERS + "Content-Type: text/plain; ", ";"),
    "quoted semicolons": (HEADERS + 'Content-Type: text/plain; a="', ";"),
    "parameters": (HEADERS + "Content-Disposition: attachment; ", "a=b;"),
    "boundary": (HEADERS + 'Content-Type: multipart/mixed; boundary="', ';\\"'),
    "headers": (HEADERS, "X-A: b\n"),
    "parts": (MULTIPART, "--b\n\nx\n"),
    "pages": (MULTIPART, "--b\nContent-Type: text/html\n\n<!-- \n"),
    "nesting": (HEADERS, "Content-Type: message/rfc822\n\n"),
    "messages": ("", "From a@example.com Mon Feb  2 10:00:00 2026\n" + HEADERS + "\nx\n\n"),
    "beginnings of messages": ("From a@example.com 2026\n" + HEADERS, "\nFrom a 2026\n"),
    "code": (HEADERS + "Content-Transfer-Encoding: base64\n\n", "QUJD\n"),
    "words in code": (HEADERS + "Content-Transfer-Encoding: base64\n\n", "QUJD -\n"),
    "ciphers": (HEADERS + "\n", "-----BEGIN PGP MESSAGE-----\n"),
    "flowing lines": (HEADERS + "Content-Type: text/plain; format=flowed\n\n", "> a \n"),
    "events": (HEADERS + "Content-Type: text/calendar\n\n", "BEGIN:VEVENT\nSUMMARY:a\n"),
    "parameters of events": (HEADERS + "Content-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY", ';A="'),
    "files": (MULTIPART, "--b\nContent-Type: text/csv; name=a.csv\n\na,b\n1,2\n"),
    "forms": (HEADERS + "Content-Type: multipart/alternative; boundary=b\n\n", "--b\n\nx\n"),
}
PLAIN = (
    *("# a\n", "- a\n", "    a\n", "```\n", "~~~~ a\n", "|", "|-", "| a |\n|---|\n", "a\n---\n", "- - x", "`", "1. "),
    *("a,b\n", 'a,"', '"\n', "a;b,c\n", ",", "a::\n\n b\n", "a\n===\n", "===\n", " \t", "\\|"),
)
TEXTS = (
    *("a", ".", ". ", "A. ", "\n", " ", "1.", ",123", "a.", "a-1 ", "U.S.A.", "'s", '. "', "|\n", "- a\n", "?! "),
    *("日", "ก", "a\u0301", "\u0f72\u0f71", "\u200d", "\ufdfa", "x" + " " * 899, "<!-- "),
)

RTFS = (
    *("{", "}", "{}", "\\'e9", "\\u9?", "\\a", "a\\par ", "\\cell", "a\\row ", "a\\nestrow ", "\\f1 a\\f2 b"),
    *(
        "{\\pict 0}",
        "{\\fldinst FORMCHECKBOX}",
        "{\\stylesheet a}",
        "{\\footnote a}",
        "{\\header a\\par}",
        "{\\upr{a}}",
    ),
)
OPEN_TEXTS = (
    *("<text:p>a</text:p>", "<text:p><text:span>a</text:span></text:p>", '<text:h text:outline-level="3">a</text:h>'),
    "<text:list><text:list-item><text:p>a</text:p></text:list-item></text:list>",
    "<text:p>a<draw:frame><draw:text-box><text:p>b</text:p></draw:text-box></draw:frame></text:p>",
    "<text:p>a<office:annotation><text:p>b</text:p></office:annotation></text:p>",
    "<table:table><table:table-row><table:table-cell/></table:table-row></table:table>",
)
OPEN_SHEETS = (
    "<table:table-row><table:table-cell><text:p>a</text:p></table:table-cell></table:table-row>",
    "<table:table-row/>",
    "<table:table-row><table:table-cell><text:p>a</text:p></table:table-cell></table:table-row><table:table-row/>",
    "<table:shapes><text:p>a</text:p></table:shapes>",
)
BOOKS = (
    "<svg>",
    "<svg><text>",
    "<svg></svg>",
    "<![CDATA[",
    "<![CDATA[]]>",
    "<!DOCTYPE [",
    "<head>",
    "&a;",
    "<head></head>",
)


def assert_linear(read: Callable[[str], object], start: str, fragment: str) -> None:
    small, large = (start + fragment * (size // len(fragment)) for size in (SIZE, FACTOR * SIZE))
    bound = MOST * max(cost(read, small), CLOCK_SECONDS)
    # the second measurement is only for a machine that was busy during the first
    assert cost(read, large) < bound or cost(read, large) < bound


def cost(read: Callable[[str], object], text: str) -> float:
    started = time.thread_time()
    with contextlib.suppress(RecursionError):
        read(text)
    return time.thread_time() - started


@pytest.mark.parametrize("fragment", PAGES)
def test_pages(fragment: str) -> None:
    assert_linear(lambda page: read_page(page, TextBuilder()), "<html>", fragment)


@pytest.mark.parametrize("fragment", PLAIN)
def test_structure_of_plain_texts(fragment: str) -> None:
    for media_type in ("text/markdown", "text/x-rst", "text/csv"):
        assert_linear(partial(plain_spans, media_type=media_type, suffix=""), "a", fragment)


@pytest.mark.parametrize("case", MAILS)
def test_mails(case: str) -> None:
    assert_linear(lambda text: extract_text(text.encode(), ".eml"), *MAILS[case])


@pytest.mark.parametrize("fragment", TEXTS)
def test_texts(fragment: str) -> None:
    """Passages and terms are made when a file is indexed; sentences are split when a question is answered."""

    def index(text: str) -> None:
        for chunk in chunk_text(text, None):
            analyze(chunk.text)

    assert_linear(index, "", fragment)
    assert_linear(split_sentences, "", fragment)


def rtf_text(source: str) -> str:
    return rtf.read(source.encode("latin-1"), MediaType.RTF).text


def text_document(body: str) -> str:
    return odf.read(make_open_document("text", body), MediaType.ODT).text


def sheet_of(rows: str) -> str:
    return odf.read(make_open_document("spreadsheet", f"<table:table>{rows}</table:table>"), MediaType.ODS).text


def book_of(page: str) -> str:
    return epub.read(make_book({"a.xhtml": page}), MediaType.EPUB).text


@pytest.mark.parametrize("fragment", RTFS)
def test_rtf(fragment: str) -> None:
    def read(source: str) -> None:
        with contextlib.suppress(ExtractionError):
            rtf_text(source)

    assert_linear(read, r"{\rtf1 ", fragment)


@pytest.mark.parametrize("fragment", OPEN_TEXTS)
def test_open_texts(fragment: str) -> None:
    assert_linear(text_document, "", fragment)


@pytest.mark.parametrize("fragment", OPEN_SHEETS)
def test_open_sheets(fragment: str) -> None:
    assert_linear(sheet_of, "", fragment)


@pytest.mark.parametrize("fragment", BOOKS)
def test_books(fragment: str) -> None:
    assert_linear(book_of, "<html>", fragment)
