"""Tests of which markup of a web page is text, and that the cost of a page grows only with its length."""

from __future__ import annotations

import html
from collections import Counter

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.text_builder import TextBuilder


def text_of(page: str) -> str:
    builder = TextBuilder()
    read_page(page, builder)
    return builder.text


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
        ("<template><p>hidden</p></template><svg><text>hidden</text></svg><iframe>hidden</iframe>text", "text"),
        ("one<br><br><br><br>two", "one\n\ntwo"),
    ],
)
def test_markup_is_told_from_text(page: str, text: str) -> None:
    assert text_of(page) == text


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
    assert text_of(page) == text


def test_nesting_has_no_limit() -> None:
    assert text_of("<div>" * 100_000 + "deep" + "</div>" * 100_000) == "deep"
    assert text_of("<svg>" * 100_000 + "x" + "</svg>" * 100_000 + "deep") == "deep"


def read(page: str) -> tuple[str, list[tuple[str, int, str]]]:
    """Return the text of a page, and the kind, level and text of each of its spans."""
    builder = TextBuilder()
    read_page(page, builder)
    spans = [(span.kind.value, span.level, builder.text[span.start : span.end]) for span in builder.spans]
    return builder.text, spans


class TestStructure:
    def test_headings_have_a_level_and_one_line(self) -> None:
        page = "<title>Help</title><h1>Help<br>centre</h1><h3><div>A</div><div>B</div></h3><h2><p>C</p>text"
        text, spans = read(page)
        assert text == "Help\n\nHelp centre\n\nA B\n\nC\n\ntext"
        assert spans == [
            ("heading", 1, "Help"),
            ("heading", 1, "Help centre"),
            ("heading", 3, "A B"),
            ("heading", 2, "C"),
        ]

    def test_a_heading_that_is_never_closed_does_not_swallow_the_page(self) -> None:
        _, spans = read("<h1>Title<div>" + "word " * 100 + "</div>")
        assert spans == []

    def test_numbers_of_lists_are_text_as_they_are_seen(self) -> None:
        page = (
            "<ol start=3><li>Three<li value=7><p>Seven<p>more<ul><li>sub</ul><li>Eight</ol>"
            "<ol type=i><li>one<li>two</ol><ul><li>dot</ul><ol type=A start=27><li>AA</ol>"
        )
        text, spans = read(page)
        assert text.split("\n\n") == ["3. Three\n7. Seven", "more", "sub\n8. Eight\ni. one\nii. two\ndot\nAA. AA"]
        assert [span[2] for span in spans] == text.replace("\n\nmore\n\n", "\n").split("\n")

    def test_a_term_stands_with_its_description(self) -> None:
        _, spans = read("<dl><dt>Capacity<dd>Sixty guests<dt>Deposit</dt><dd><p>Eighty</p><p>crowns</p></dd></dl>")
        assert [span[2] for span in spans] == ["Capacity\nSixty guests", "Deposit\nEighty"]

    def test_code(self) -> None:
        page = "<pre>\ndef f():\n  <b>return</b> 1\n</pre><p><code>pip install x</code></p><p>use <code>x</code>."
        _, spans = read(page)
        assert spans == [("code", 0, "def f():\n  return 1"), ("code", 0, "pip install x")]


class TestTables:
    @pytest.mark.parametrize(
        "header",
        [
            "<tr><th>Plan<th>Price",
            "<thead><tr><td>Plan<td>Price</thead>",
            "<tr><td><p><b>Plan</b></p></td><td><strong>Price</strong></td></tr>",
            "<tr><td>Plan<td>Price",
        ],
    )
    def test_rows_are_lines_under_their_header(self, header: str) -> None:
        page = (
            f"<p>Prices<table><caption>In euros</caption>{header}<tr><td>Solo<td>9<tr><td>Team<td><p>49<p>or 40</table>"
        )
        if header == "<tr><td>Plan<td>Price":  # only the values below the first row show that it is a header
            page = page.replace("<p>or 40", "")
        text, spans = read(page)
        assert text.startswith("Prices\n\nIn euros\n\nPlan\tPrice\nSolo\t9\nTeam\t49")
        assert [(kind, level) for kind, level, _ in spans] == [("table", 1)]

    def test_cells_that_span_rows_and_columns(self) -> None:
        page = (
            "<table><tr><th colspan=2>2026<th>Note<tr><th>Q1<th>Q2<th>"
            "<tr><td rowspan=2>Team<td>49<td>x<tr><td>50<td>y<tr><td colspan=2>all<td>z</table>"
        )
        text, spans = read(page)
        assert text == "2026\t\tNote\nQ1\tQ2\nTeam\t49\tx\nTeam\t50\ty\nall\t\tz"
        assert spans[0][:2] == ("table", 2)

    def test_a_cell_may_span_all_rows_of_its_group_and_none_of_the_next(self) -> None:
        for rows in (0, 9):
            page = (
                "<table><thead><tr><th>Plan<th>Price<tbody>"
                f"<tr><td rowspan={rows}>Team<td>49<tr><td>50<tr><td>51"
                "<tbody><tr><td>Solo<td colspan=0>9</table>"
            )
            text, spans = read(page)
            assert text == "Plan\tPrice\nTeam\t49\nTeam\t50\nTeam\t51\nSolo\t9"
            assert spans[0][:2] == ("table", 1)

    def test_columns_that_only_hold_others_apart_are_left_out(self) -> None:
        assert read("<table><tr><td>A<td>&nbsp;<td>B<tr><td>1<td> <td>2</table>")[0] == "A\tB\n1\t2"

    def test_a_table_in_a_table_of_data_is_part_of_its_cell(self) -> None:
        page = "<table><tr><th>Seats<td><table><tr><td>ten<td>twenty</table><tr><th>Price<td>49</table>after"
        assert read(page)[0] == "Seats\tten twenty\nPrice\t49\n\nafter"

    def test_a_page_in_a_table_with_a_header_keeps_its_paragraphs(self) -> None:
        page = "<table><tr><th>Site<th>Menu<tr><td><table><tr><td><h1>News</h1><p>One.<p>Two.</table><td>Home</table>"
        assert read(page)[0] == "Site\tMenu\n\nNews\n\nOne.\n\nTwo.\nHome"

    def test_tables_that_put_parts_side_by_side_are_no_tables(self) -> None:
        page = (
            "<table><tr><td><table role=presentation><tr><td>Dear Ada,<td>2 March</table>"
            "<tr><td><h2>News</h2><p>The story.</p><td><p>Imprint</table><table><tr><td>one<tr><td>column</table>"
        )
        text, spans = read(page)
        assert text.split("\n\n") == ["Dear Ada,\t2 March", "News", "The story.", "Imprint", "one\ncolumn"]
        assert spans == [("heading", 2, "News")]

    def test_spans_cost_no_more_than_the_table(self) -> None:
        page = "<table><tr>" + "<td rowspan=60000 colspan=1000>" + "word " * 30 + "<tr><td>a<td>b" * 2000 + "</table>"
        assert len(read(page)[0]) < 2 * len(page)


class TestQuestions:
    def test_the_question_in_a_button_is_kept(self) -> None:
        page = (
            "<h1>Help</h1><h2><button aria-expanded=false>How do I cancel?</button></h2><div hidden>Write to us.</div>"
            "<button aria-controls=p>Who repairs it?</button><p>We do:</p><div id=p hidden>the workshop.</div>"
            "<details><summary>When?</summary>On Mondays.</details><p>Press <button>Save</button> now."
        )
        text, spans = read(page)
        assert [span[2] for span in spans] == ["Help", "How do I cancel?", "Who repairs it?", "When?"]
        for answer in ("cancel?\n\nWrite to us.", "the workshop.", "When?\n\nOn Mondays.", "Press Save now."):
            assert answer in text

    def test_hidden_parts_are_left_out(self) -> None:
        page = (
            "<p>seen<div hidden>no</div><div style='color:red; DISPLAY : none'>no</div><p hidden>no<p>seen"
            "<div hidden=until-found>found</div><img hidden alt=no><div role=tabpanel hidden>panel</div>"
        )
        assert read(page)[0].split() == ["seen", "seen", "found", "panel"]

    def test_a_page_that_hides_itself_until_its_script_runs_is_read(self) -> None:
        assert read("<html style='display:none'><body hidden><p>text")[0] == "text"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<select><option>Feather: 890 g<option selected>Storm: 1430 g</select>", "Feather: 890 g\nStorm: 1430 g"),
        ("<select><optgroup label=Light><option>A</optgroup></select>", "Light\n\nA"),
        ("a<select>" + "<option>country" * 51 + "</select>b", "a\nb"),
        ("<noscript><p>Closed on Mondays.</noscript>", "Closed on Mondays."),
        ("a<noscript>Please enable JavaScript.</noscript>b", "a\nb"),
        ("<input value=Ada><input type=hidden value=no><input type=password value=no><input type=submit value=Send>",
         "Ada Send"),
        ("Hi<img alt='👋 wave'>there<img alt=IMG_1.png><img>", "Hi 👋 wave there"),
        ("<span>in</span><span>line</span><x-row>Deposit</x-row><x-row>80</x-row>", "inline Deposit 80"),
        ("<ruby>漢<rp>(<rt>kan<rp>)</ruby>字", "漢字"),
    ],
)  # fmt: skip
def test_rules_of_forms_and_pictures(page: str, text: str) -> None:
    assert read(page)[0] == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("10<sup>6</sup> litres", "10^6 litres"),
        ("10<sup>−6</sup>, e<sup>-x</sup>, 2<sup>n</sup>, y<sup>n+1</sup>", "10^−6, e^-x, 2^n, y^(n+1)"),  # noqa: RUF001
        ("forty crowns<sup>2</sup> a year.<sup><a href=#n>3</a></sup>", "forty crowns^2 a year.^3"),
        ("40 m<sup>2</sup>, x<sup>3</sup>, s<sup>-1</sup>", "40 m², x³, s⁻¹"),
        ("1<sup>st</sup>, M<sup>me</sup>, text<sup>[4]</sup>, Zonda<sup>TM</sup>", "1st, Mme, text[4], Zonda™"),
        ("1<sup>o</sup>, word <sup>2</sup>, 2<sup>1</sup>/<sub>2</sub> cups", "1º, word 2, 2 1/2 cups"),
        ("H<sub>2</sub>O, x<sub>1</sub>, 101<sub>2</sub>", "H2O, x1, 101_2"),
        ("<math><mi>E</mi><mo>=</mo><msup><mn>10</mn><mn>6</mn></msup><annotation>E</annotation></math>", "E=10^6"),
        ("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math>", "(a+b)/2"),
        ("<math><msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup></math>", "x_1^2"),
    ],
)
def test_superscripts_and_formulas_on_one_line(page: str, text: str) -> None:
    assert read(page)[0] == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ('5 <span style="font-family:Symbol">m</span>g', "5 µg"),
        ('a <font face="Wingdings">à</font> b', "a → b"),
        (
            "<span style='font-family:Symbol'>·<span style='font:7pt \"Times New Roman\"'>&nbsp;m</span></span>",
            "•\xa0m",
        ),
        ('<span style="font-family:Segoe UI Symbol">m</span> <span style="font-family:Arial,Symbol">m</span>', "m m"),
    ],
)
def test_signs_in_symbol_fonts(page: str, text: str) -> None:
    assert read(page)[0] == text


# lxml reads the page independently: it builds a tree, which our reader does not
_UNREAD_PATHS = "ancestor-or-self::script or ancestor-or-self::style or ancestor-or-self::nav or ancestor::*[@hidden]"
_WORDS = st.text("abcXYZ019äя日<&", min_size=1, max_size=6).map(lambda word: f"w{word}w")
_INLINE = ("b", "span", "a", "code", "em", "q", "u", "x-y")
_BLOCK = (
    *("p", "div", "h1", "h3", "li", "ul", "ol", "table", "tr", "td", "th", "dt", "dd", "pre", "section", "button"),
    *("details", "summary", "label", "figure", "blockquote", "select", "option", "script", "nav", "caption"),
)
_PIECES = st.one_of(
    _WORDS.map(html.escape),
    st.sampled_from([" ", "\n", "<br>", "<hr>", "<img>", "<!-- c -->", "<input>"]),
    st.builds("<{}>".format, st.sampled_from(_BLOCK)),
    st.builds("</{}>".format, st.sampled_from((*_BLOCK, *_INLINE))),
    st.builds("<{}>".format, st.sampled_from(_INLINE)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=20), st.data())
def test_every_text_is_read_once_and_in_order(words: list[str], data: st.DataObject) -> None:
    """These pages are correctly nested; `test_no_word_is_lost` uses other ones."""
    parts = []
    for word in words:
        names = data.draw(st.lists(st.sampled_from((*_INLINE, "p", "div", "h2", "li", "td", "blockquote")), max_size=3))
        inside = html.escape(word)
        for name in names:
            inside = {"td": f"<table><tr><td>{inside}</table>", "li": f"<ul><li>{inside}</ul>"}.get(
                name, f"<{name}>{inside}</{name}>"
            )
        parts.append(f"<div>{inside}</div>")
    page = "<html><body>" + "".join(parts)
    expected = lxml.html.fromstring(page).xpath("//text()")
    assert "".join(read(page)[0].split()) == "".join("".join(expected).split())


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES, max_size=30))
def test_no_word_is_lost(pieces: list[str]) -> None:
    """Whatever the nesting, every word is in the text unless it stands in a script or in navigation."""
    page = "".join(f" {piece} " for piece in pieces)
    tree = lxml.html.fragment_fromstring(page, create_parent="body")
    wanted = " ".join(tree.xpath(f".//text()[not({_UNREAD_PATHS})]")).split()
    found = Counter(read(page)[0].split())
    assert not Counter(wanted) - found
    assert_spans_fit(page)


def assert_spans_fit(page: str) -> None:
    builder = TextBuilder()
    read_page(page, builder)
    end = 0
    for span in builder.spans:
        assert end <= span.start < span.end <= builder.length
        end = span.end
