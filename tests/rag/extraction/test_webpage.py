"""What of a page's markup is text and what is not, and that no page costs more than its length."""

from __future__ import annotations

import pytest

from fastapi_ignite.rag.extraction.webpage import readable_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a<!-- hidden -->b", "ab"),
        ("<p>a<!-->b<!--->c", "abc"),
        ("<p>a<!-- hidden > still --> b", "a b"),
        ("<p>a</ bogus>b<?php echo 1 ?>c<!ELEMENT x>d<![CDATA[ > ]]>e</>f", "abcdef"),
        ("<a title='x > y'>one</a> <a href=x/y/>two</a>", "one two"),
        ("<P\nclass = big>one</P\t><hR/>two", "one\n\ntwo"),
        ("1 < 2 &amp; 3 > 2, a&lt;b, &#8364;, &bogus; &AMP", "1 < 2 & 3 > 2, a<b, €, &bogus; &"),
        ("<title>The <b> tag &amp; you</title><p>text", "The <b> tag & you\n\ntext"),
        ("<textarea>a <p> b</textarea>", "a <p> b"),
        ("<script>if (a<b) '</p>'</scripts></script>text", "text"),
        ("<template><p>hidden</p></template><noscript>hidden</noscript><iframe>hidden</iframe>text", "text"),
        ("one<br><br><br><br>two", "one\n\ntwo"),
    ],
)
def test_markup_is_told_from_text(page: str, text: str) -> None:
    assert readable_text(page) == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>before <!-- the whole story", "before <!-- the whole story"),
        ("<p>before <!-- never closed <p>the whole story</p>", "before <!-- never closed\n\nthe whole story"),
        ("<p>before <a href='the whole story", "before <a href='the whole story"),
        ("<p>before <a href='x>the whole story</a>", "before the whole story"),
        ("<head><title>T <p>the whole story", "T\n\nthe whole story"),
        ("<textarea><p>the whole story", "the whole story"),
        ("<head><p>the whole story", "the whole story"),
        ("<template><p>the whole story", "the whole story"),
        ("<svg><p>the whole story</nav>", "the whole story"),
        ("<p>the story<script>var x = 1; <p>more of it", "the story"),
        ("<p>&#" + "1" * 5000 + "; the whole story", "\ufffd the whole story"),
        ("<plaintext>the <b>whole</b> story", "the whole story"),
    ],
)
def test_what_is_never_closed_is_read(page: str, text: str) -> None:
    assert readable_text(page) == text


def test_nesting_has_no_limit() -> None:
    assert readable_text("<div>" * 100_000 + "deep" + "</div>" * 100_000) == "deep"
    assert readable_text("<svg>" * 100_000 + "x" + "</svg>" * 100_000 + "deep") == "deep"
