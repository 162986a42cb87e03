"""OpenDocument texts, spreadsheets and presentations, as LibreOffice and other programs write them."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from typing import ClassVar
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, SpanKind, page_at
from fastapi_ignite.rag.extraction.formats import MediaType, binary_type
from fastapi_ignite.rag.extraction.odf import read
from fastapi_ignite.rag.extraction.packages import package_type
from support.open_documents import content_xml, make_flat_document, make_open_document, make_open_package
from support.sample_files import make_zip

Read = Callable[..., Awaitable[ExtractedText]]
TEXT, SHEET, SLIDES = "text", "spreadsheet", "presentation"
KINDS = {TEXT: MediaType.ODT, SHEET: MediaType.ODS, SLIDES: MediaType.ODP}


def found_in(kind: str, body: str, **parts: object) -> ExtractedText:
    return read(make_open_document(kind, body, **parts), KINDS[kind])  # type: ignore[arg-type]


def text_of(body: str, **parts: object) -> str:
    return found_in(TEXT, body, **parts).text


def spans_of(found: ExtractedText, kind: SpanKind) -> list[str]:
    return [found.text[span.start : span.end] for span in found.spans if span.kind is kind]


def style(name: str, family: str, properties: str = "", **attributes: str) -> str:
    given = "".join(f' style:{key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<style:style style:name="{name}" style:family="{family}"{given}>{properties}</style:style>'


def note_with(mark: str, text: str) -> str:
    citation = f"<text:note-citation>{mark}</text:note-citation>"
    return f"<text:note>{citation}<text:note-body><text:p>{text}</text:p></text:note-body></text:note>"


def comment_with(text: str) -> str:
    return (
        "<office:annotation><dc:creator>Ada</dc:creator><dc:date>2026-01-01</dc:date>"
        f"<text:p>{text}</text:p></office:annotation>"
    )


def cell(text: str = "", **attributes: str) -> str:
    given = "".join(f' {key.replace("_", "-").replace("--", ":")}="{value}"' for key, value in attributes.items())
    return f"<table:table-cell{given}>" + (f"<text:p>{text}</text:p>" if text else "") + "</table:table-cell>"


def row_of(*cells: str, times: int = 1) -> str:
    return f'<table:table-row table:number-rows-repeated="{times}">{"".join(cells)}</table:table-row>'


class TestInlineText:
    @pytest.mark.parametrize(
        ("paragraph", "text"),
        [
            ("a <text:span>b <text:span>c <text:span>d</text:span> e</text:span> f</text:span> g", "a b c d e f g"),
            ('see <text:a xlink:href="x"><text:span>the <text:span>tariff</text:span></text:span></text:a>.',
             "see the tariff."),
            ('a<text:s/>b<text:s text:c="3"/><text:span><text:s/>c</text:span>', "a b    c"),
            ("a<text:tab/>b <text:span>c<text:tab/>d</text:span>", "a\tb c\td"),
            ("a<text:line-break/>b", "a\nb"),
            ("long<text:soft-page-break/>word", "longword"),
            ('<text:bookmark-start text:name="x"/>a<text:bookmark-end text:name="x"/> b', "a b"),
            ('<text:reference-mark-start text:name="x"/>a<text:reference-mark-end text:name="x"/>b', "ab"),
            ('Page <text:page-number text:select-page="current">7</text:page-number>', "Page 7"),
            ('Table <text:sequence text:name="T">4</text:sequence>: <text:date>3 May</text:date>', "Table 4: 3 May"),
            ("<text:meta>a <text:meta-field>b</text:meta-field></text:meta> c", "a b c"),
            ("<text:ruby><text:ruby-base>漢字</text:ruby-base><text:ruby-text>かんじ</text:ruby-text></text:ruby>です",
             "漢字です"),
            ("  a \n\t b  <text:span> c</text:span> ", "a b c"),
            ("a <!-- not text -->b<?pi not text?>", "a b"),
            ('a<text:conditional-text>b</text:conditional-text><text:unknown xmlns:x="u">c</text:unknown>', "abc"),
            ('a<text:variable-set text:display="none">b</text:variable-set>c', "ac"),
            ('a<text:hidden-text text:is-hidden="true">b</text:hidden-text>c', "ac"),
            ("1 &lt; 2 &amp; 3&#xA0;kg", "1 < 2 & 3\xa0kg"),
        ],
    )  # fmt: skip
    def test_every_element_in_a_line(self, paragraph: str, text: str) -> None:
        assert text_of(f"<text:p>{paragraph}</text:p>") == text

    def test_text_that_a_style_hides_is_left_out(self) -> None:
        hidden = '<style:text-properties text:display="none"/>'
        styles = style("Secret", "text", hidden) + style("Based", "text", parent_style_name="Secret")
        body = (
            '<text:p>a<text:span text:style-name="Based">b</text:span>c</text:p><text:p text:style-name="P">d</text:p>'
        )
        assert text_of(body, automatic_styles=styles + style("P", "paragraph", hidden)) == "ac"

    def test_signs_of_symbol_fonts(self) -> None:
        font = style("S", "text", '<style:text-properties style:font-name="Symbol"/>')
        body = '<text:p>5 <text:span text:style-name="S">\uf06d</text:span>g</text:p>'
        assert text_of(body, automatic_styles=font) == "5 µg"

    def test_raised_digits_are_no_ordinary_ones(self) -> None:
        positions = {"Up": "super 58%", "Share": "33% 58%", "Down": "sub 58%"}
        styles = "".join(
            style(name, "text", f'<style:text-properties style:text-position="{position}"/>')
            for name, position in positions.items()
        )
        body = "10[Up]6, m[Share]2, H[Down]2O, 4[Up]th"
        for name in positions:
            body = re.sub(rf"\[{name}\](\d|th)", rf'<text:span text:style-name="{name}">\1</text:span>', body)
        assert text_of(f"<text:p>{body}</text:p>", automatic_styles=styles) == "10⁶, m², H2O, 4th"


class TestBlocks:
    def test_changes(self) -> None:
        changes = (
            '<text:tracked-changes><text:changed-region text:id="c"><text:deletion><text:p>forty</text:p>'
            "</text:deletion></text:changed-region></text:tracked-changes>"
        )
        body = (
            f'{changes}<text:p>The fee is <text:change text:change-id="c"/><text:span>fifty</text:span> euros.</text:p>'
        )
        assert text_of(body) == "The fee is fifty euros."

    def test_a_note_follows_its_paragraph_and_a_comment_names_its_author(self) -> None:
        note = note_with("1", "Net of tax.")
        comment = comment_with("Check.")
        body = f"<text:p>Rent{note} is due{comment} now.</text:p><text:p>Next.</text:p>"
        assert text_of(body) == "Rent[1] is due now.\n\n[1] Net of tax.\n\nComment by Ada: Check.\n\nNext."

    def test_notes_of_a_table_follow_it(self) -> None:
        note = note_with("*", "n")
        cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
        rows = "".join(
            f"<table:table-row>{cell.format(a)}{cell.format('b')}</table:table-row>" for a in (f"a{note}", "c")
        )
        assert text_of(f"<table:table>{rows}</table:table>") == "a[*]\tb\nc\tb\n\n[*] n"

    def test_frames_follow_the_paragraph_in_which_they_are_anchored(self) -> None:
        body = (
            "<text:p>before <draw:frame><draw:text-box><text:p>in <text:span>a box</text:span></text:p></draw:text-box>"
            "<svg:title>alternative</svg:title></draw:frame>after</text:p>"
            "<draw:g><draw:custom-shape><text:p>in a shape</text:p></draw:custom-shape></draw:g>"
        )
        assert text_of(body) == "before after\n\nin a box\n\nin a shape"

    def test_hidden_sections_are_left_out(self) -> None:
        body = (
            '<text:section text:name="a" text:display="none"><text:p>secret</text:p></text:section>'
            '<text:section text:name="b"><text:p>shown</text:p></text:section>'
        )
        assert text_of(body) == "shown"

    def test_templates_of_indexes_are_left_out(self) -> None:
        body = (
            "<text:table-of-content><text:table-of-content-source><text:index-title-template>Contents template"
            "</text:index-title-template></text:table-of-content-source><text:index-body><text:index-title><text:p>"
            "Contents</text:p></text:index-title><text:p>Scope<text:tab/>1</text:p></text:index-body>"
            "</text:table-of-content>"
        )
        assert text_of(body) == "Contents\n\nScope\t1"

    def test_headings_with_their_numbers(self) -> None:
        outline = (
            '<text:outline-style><text:outline-level-style text:level="1" style:num-format="1"/>'
            '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>'
            "</text:outline-style>"
        )
        heading = '<text:h text:outline-level="{}">{}</text:h>'
        body = "".join(
            heading.format(level, name) for level, name in ((1, "Scope"), (1, "Fees"), (2, "Rent"), (2, "Heat"))
        )
        found = found_in(TEXT, f'<text:p text:style-name="Title">Lease</text:p>{body}', styles=outline)
        assert [(span.level, found.text[span.start : span.end]) for span in found.spans] == [
            *((1, "Lease"), (1, "1 Scope"), (1, "2 Fees"), (2, "2.1 Rent"), (2, "2.2 Heat")),
        ]

    def test_lists_with_their_bullets_and_numbers(self) -> None:
        styles = (
            '<text:list-style style:name="N"><text:list-level-style-number text:level="1" style:num-format="1"'
            ' style:num-suffix="."/><text:list-level-style-number text:level="2" style:num-format="a"'
            ' style:num-suffix=")"/></text:list-style><text:list-style style:name="B">'
            '<text:list-level-style-bullet text:level="1"'
            ' text:bullet-char="\uf0b7"/></text:list-style>'
        )
        item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>"
        inner = f"<text:list>{item.format('x', '')}{item.format('y', '')}</text:list>"
        second = item.format("two", "<text:p>more</text:p>")
        numbers = f'<text:list text:style-name="N">{item.format("one", inner)}{second}</text:list>'
        going_on = (
            f'<text:list text:continue-numbering="true" text:style-name="N">{item.format("three", "")}</text:list>'
        )
        bullets = f'<text:list text:style-name="B">{item.format("dot", "")}</text:list>'
        body = f"{numbers}<text:p>Between.</text:p>{going_on}{bullets}"
        found = found_in(TEXT, body, automatic_styles=styles)
        assert found.text == "1. one\na) x\nb) y\n2. two\nmore\n\nBetween.\n\n3. three\n• dot"
        assert spans_of(found, SpanKind.LIST_ITEM) == ["1. one", "a) x", "b) y", "2. two\nmore", "3. three", "• dot"]

    def test_tables_with_their_header(self) -> None:
        def row(*cells: str) -> str:
            return row_of(*map(cell, cells))

        header = f"<table:table-header-rows>{row('Plan', 'For')}</table:table-header-rows>"
        marked = f"<table:table>{header}{row('Plus', 'teams')}</table:table>"
        guessed = f"<table:table>{row('Plan', 'Seats', 'Price')}{row('Plus', '5', '40 €')}</table:table>"
        pairs = f"<table:table>{row('Name', 'Ada')}{row('Town', 'Turin')}</table:table>"
        found = found_in(TEXT, marked + guessed + pairs)
        assert [(span.level, found.text[span.start : span.end]) for span in found.spans] == [
            (1, "Plan\tFor\nPlus\tteams"),
            (1, "Plan\tSeats\tPrice\nPlus\t5\t40 €"),
            (0, "Name\tAda\nTown\tTurin"),
        ]

    def test_a_table_around_text_is_a_frame(self) -> None:
        inner = "<table:table><table:table-row>" + "<table:table-cell><text:p>x</text:p></table:table-cell>" * 2
        inner += "</table:table-row></table:table>"
        body = (
            '<table:table><table:table-row><table:table-cell><text:h text:outline-level="1">Head</text:h>'
            f"{inner}</table:table-cell></table:table-row></table:table>"
        )
        assert text_of(body) == "Head\n\nx\tx"

    def test_covered_cells_keep_the_columns_apart(self) -> None:
        body = (
            '<table:table><table:table-row><table:table-cell table:number-columns-spanned="2"><text:p>wide</text:p>'
            "</table:table-cell><table:covered-table-cell/><table:table-cell><text:p>c</text:p></table:table-cell>"
            '</table:table-row><table:table-row><table:table-cell table:number-columns-repeated="3"><text:p>x</text:p>'
            "</table:table-cell></table:table-row></table:table>"
        )
        assert text_of(body) == "wide\t\tc\nx\tx\tx"

    def test_code(self) -> None:
        body = "".join(
            f'<text:p text:style-name="P1">{line}</text:p>' for line in ("def f():", '<text:s text:c="4"/>return 1')
        )
        code = style("P1", "paragraph", parent_style_name="Preformatted_20_Text")
        found = found_in(TEXT, f"{body}<text:p>after</text:p>", automatic_styles=code)
        assert spans_of(found, SpanKind.CODE) == ["def f():\n    return 1"]

    def test_formulas_stand_in_their_line_and_charts_after_it(self) -> None:
        formula = (
            '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>E</mi><mo>=</mo><mi>m</mi>'
            "<msup><mi>c</mi><mn>2</mn></msup><annotation>no</annotation></math>"
        )
        body = (
            '<text:p>As <draw:frame><draw:object xlink:href="./Object 1"/></draw:frame> says.<draw:frame>'
            '<draw:object xlink:href="./Object 2"/></draw:frame></text:p>'
        )
        chart = content_xml("chart", '<text:p>Sales</text:p><draw:object xlink:href="./Object 2"/>')
        parts = {"Object 1/content.xml": formula, "Object 2/content.xml": chart}
        assert text_of(body, parts=parts) == "As E = mc^2 says.\n\nSales"

    def test_an_object_is_read_once_however_often_it_is_named(self) -> None:
        frame = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
        chart = content_xml("chart", "<text:p>Sales</text:p>")
        assert (
            text_of(f"<text:p>a{frame}</text:p>" * 3, parts={"Object 1/content.xml": chart}) == "a\n\nSales\n\na\n\na"
        )

    def test_values_of_form_fields(self) -> None:
        forms = (
            '<office:forms><form:form><form:text form:id="c1" form:current-value="Ada Byron"/>'
            '<form:checkbox form:id="c2"'
            ' form:label="Pets" form:current-state="checked"/></form:form></office:forms>'
        )
        control = '<text:p>{}<draw:control draw:control="{}"/></text:p>'
        assert (
            text_of(forms + control.format("Applicant: ", "c1") + control.format("", "c2"))
            == "Applicant: Ada Byron\n\n[x] Pets"
        )

    def test_headers_and_footers_stand_once(self) -> None:
        masters = "".join(
            f'<style:master-page style:name="{name}"><style:header><text:p>ACME GmbH</text:p></style:header>'
            "<style:footer>"
            "<text:p>Page <text:page-number>1</text:page-number> of <text:page-count>9</text:page-count></text:p>"
            "<text:p>Confidential</text:p></style:footer></style:master-page>"
            for name in ("Standard", "First")
        )
        assert text_of("<text:p>body</text:p>", masters=masters) == "body\n\nACME GmbH\n\nConfidential"


def sheet(name: str, *rows: str, style_name: str = "") -> str:
    lines = "".join(
        row if row.startswith("<table:table-row") else f"<table:table-row>{row}</table:table-row>" for row in rows
    )
    return f'<table:table table:name="{name}" table:style-name="{style_name}">{lines}</table:table>'


class TestSpreadsheets:
    def test_sheets_titles_and_tables(self) -> None:
        hidden = style("h", "table", '<style:table-properties table:display="false"/>')
        first = sheet("Prices", cell("Price list 2026"), "", cell("Plan") + cell("Price"), cell("Plus") + cell("40 €"))
        body = first + sheet("Empty", cell()) + sheet("Notes", cell("a") + cell("b"), style_name="h")
        found = found_in(SHEET, body, automatic_styles=hidden)
        assert found.text == "Prices\n\nPrice list 2026\n\nPlan\tPrice\nPlus\t40 €\n\nNotes (hidden sheet)\n\na\tb"
        assert spans_of(found, SpanKind.HEADING) == ["Prices", "Notes (hidden sheet)"]
        assert [span.level for span in found.spans if span.kind is SpanKind.TABLE] == [0, 1, 0]

    @pytest.mark.parametrize(
        ("attributes", "shown"),
        [
            ('office:value-type="float" office:value="4.5"', "4.5"),
            ('office:value-type="percentage" office:value="0.475"', "47.5%"),
            ('office:value-type="currency" office:currency="EUR" office:value="12"', "12 EUR"),
            ('office:value-type="boolean" office:boolean-value="true"', "TRUE"),
            ('office:value-type="date" office:date-value="2026-03-14"', "2026-03-14"),
            ('office:value-type="time" office:time-value="PT12H05M00S"', "12:05:00"),
            ('office:value-type="string" office:string-value="words"', "words"),
            ('table:formula="of:=SUM([.A1:.B2])"', "=SUM(A1:B2)"),
            ('office:value-type="percentage" office:value="a lot"', "a lot"),
        ],
    )
    def test_a_cell_without_text_shows_its_value(self, attributes: str, shown: str) -> None:
        assert found_in(SHEET, sheet("S", f"<table:table-cell {attributes}/>")).text == f"S\n\n{shown}"

    def test_repeated_cells_and_rows(self) -> None:
        row = cell("x", table__number_columns_repeated="2") + cell(table__number_columns_repeated="16000") + cell("far")
        twice = f'<table:table-row table:number-rows-repeated="2">{row}</table:table-row>'
        endless = f'<table:table-row table:number-rows-repeated="1048576">{cell()}</table:table-row>'
        assert found_in(SHEET, sheet("S", twice, endless)).text == "S\n\nx\tx\tfar\nx\tx\tfar"

    def test_comments_and_shapes_follow_the_table(self) -> None:
        comment = cell("a").replace("<text:p>", f"{comment_with('Why?')}<text:p>", 1)
        shapes = "<table:shapes><draw:custom-shape><text:p>Draft</text:p></draw:custom-shape></table:shapes>"
        body = sheet("S", comment + cell("b")).replace("</table:table>", f"{shapes}</table:table>")
        assert found_in(SHEET, body).text == "S\n\na\tb\n\nComment by Ada: Why?\n\nDraft"

    def test_only_a_header_of_ones_own_is_kept(self) -> None:
        field = "<text:p><text:sheet-name>???</text:sheet-name></text:p>"
        date = "<text:p><text:date>00/00/0000</text:date>, <text:time>00:00:00</text:time></text:p>"
        header = f"<style:header>{field}{date}<text:p>Draft</text:p></style:header>"
        masters = f'<style:master-page style:name="D">{header}</style:master-page>'
        assert found_in(SHEET, sheet("S", cell("a")), masters=masters).text == "S\n\na\n\nDraft"

    def test_copies_of_other_files_are_left_out(self) -> None:
        assert found_in(SHEET, sheet("S", cell("a")) + sheet("'file:///x.ods'#$T", cell("b"))).text == "S\n\na"


class TestPresentations:
    def test_slides_are_pages_with_their_notes(self) -> None:
        def slide(title: str, body: str, notes: str = "", style_name: str = "") -> str:
            return (
                f'<draw:page draw:style-name="{style_name}" draw:master-page-name="M"><draw:frame><draw:text-box>{body}'
                '</draw:text-box></draw:frame><draw:frame presentation:class="title"><draw:text-box><text:p>'
                f"{title}</text:p></draw:text-box></draw:frame><presentation:notes><draw:page-thumbnail/><draw:frame"
                f' presentation:class="notes"><draw:text-box><text:p>{notes}</text:p></draw:text-box></draw:frame>'
                "</presentation:notes></draw:page>"
            )

        hidden = style("dp2", "drawing-page", '<style:drawing-page-properties presentation:visibility="hidden"/>')
        masters = (
            '<style:master-page style:name="M"><draw:frame presentation:class="title"><draw:text-box><text:p>Click here'
            '</text:p></draw:text-box></draw:frame><draw:frame presentation:class="footer"><draw:text-box><text:p>ACME'
            "</text:p></draw:text-box></draw:frame></style:master-page>"
        )
        body = (
            slide("One", "<text:p>first</text:p>", "say hello")
            + slide("", "")
            + slide("Two", "<text:p>b</text:p>", "", "dp2")
        )
        found = found_in(SLIDES, body, automatic_styles=hidden, masters=masters)
        assert found.text == "One\n\nfirst\n\nACME\n\nNotes:\n\nsay hello\n\nTwo (hidden slide)\n\nb"
        assert found.page_starts is not None
        assert len(found.page_starts) == 3
        pages = [page_at(found.page_starts, found.text.index(phrase)) for phrase in ("One", "say hello", "Two", "b")]
        assert pages == [1, 1, 3, 3]
        assert spans_of(found, SpanKind.HEADING) == ["One", "Notes:", "Two (hidden slide)"]


class TestPackages:
    def test_templates_and_packages_without_their_type(self) -> None:
        content = content_xml(TEXT, "<text:p>a</text:p>")
        assert package_type(make_open_package("text-template", {"content.xml": content})) is MediaType.ODT
        entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{MediaType.ODS}"/>'
        manifest = f'<manifest:manifest xmlns:manifest="urn:m">{entry}</manifest:manifest>'
        assert package_type(make_zip({"content.xml": content, "META-INF/manifest.xml": manifest})) is MediaType.ODS

    async def test_in_the_process_that_is_sealed(self, read: Callable[..., Awaitable[ExtractedText]]) -> None:
        wide = content_xml(TEXT, "<text:p>Größe</text:p>").replace("UTF-8", "UTF-16").encode("utf-16")
        assert (await read(make_open_package(TEXT, {"content.xml": wide}))).text == "Größe"
        assert (await read(make_open_document(SHEET, sheet("S", cell("a"))))).text == "S\n\na"
        assert (await read(make_open_document(SLIDES, "<draw:page><text:p>s</text:p></draw:page>"))).page_starts == (0,)


WIDE = cell("x" * 9999, table__number_columns_repeated="9999")


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("kind", "body", "code"),
        [
            (TEXT, "<text:span>" * 5000, ErrorCode.CORRUPT_FILE),
            (TEXT, "<text:p>never closed", ErrorCode.CORRUPT_FILE),
            (TEXT, f"<table:table>{row_of(WIDE, times=1000)}</table:table>", ErrorCode.TOO_MANY_CHARACTERS),
            (SHEET, sheet("S", row_of(WIDE, times=9_999_999)), ErrorCode.TOO_MANY_CHARACTERS),
            (SHEET, sheet("S", *(cell(table__number_columns_repeated=str(n)) + cell("x") for n in range(1, 11_000))),
             ErrorCode.TOO_MANY_CHARACTERS),
        ],
    )  # fmt: skip
    def test_end_with_a_code(self, kind: str, body: str, code: ErrorCode) -> None:
        with pytest.raises(ExtractionError) as caught:
            found_in(kind, body)
        assert caught.value.code == code

    @pytest.mark.parametrize(("kind", "last"), [(TEXT, 1), (TEXT, 9), (SHEET, 1), (SHEET, 9)])
    def test_entities_are_refused(self, kind: str, last: int) -> None:
        bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, last + 1))
        content = content_xml(kind, f"<text:p>a&e{last};b</text:p>")
        content = content.replace("?>", f'?><!DOCTYPE d [<!ENTITY e0 "lol">{bomb}]>', 1)
        with pytest.raises(ExtractionError) as caught:
            read(make_open_package(kind, {"content.xml": content}), KINDS[kind])
        assert caught.value.code == ErrorCode.CORRUPT_FILE

    def test_styles_and_objects_that_refer_to_themselves(self) -> None:
        circle = style("P", "paragraph", parent_style_name="P")
        embedded = '<text:p>x</text:p><draw:frame><draw:object xlink:href="./O"/></draw:frame>'
        found = text_of(
            f'<text:p text:style-name="P">a</text:p>{embedded}',
            automatic_styles=circle,
            parts={"O/content.xml": content_xml(TEXT, embedded)},
        )
        assert found == "a\n\nx\n\nx"


def document(seed: int) -> str:
    """Return a body with every kind of block and inline element, in which no word occurs twice."""
    choose = random.Random(seed)
    words = (f"word{number}" for number in range(10_000))

    def inline(depth: int) -> str:
        parts = []
        for _ in range(choose.randint(1, 4)):
            inside = next(words) if depth == 0 else inline(depth - 1)
            parts.append(
                choose.choice(
                    [
                        "{} ", "<text:span>{}</text:span> ", '<text:a xlink:href="x">{}</text:a> ', "{}<text:tab/>",
                        "{}<text:line-break/>", "<text:meta>{}</text:meta><text:s/>", "<text:soft-page-break/>{} ",
                        "<text:bookmark-ref>{}</text:bookmark-ref> ", "<text:title>{}</text:title> ",
                        note_with("1", "{}"),
                        "<draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame> ",
                        "<office:annotation><text:p>{}</text:p></office:annotation> ",
                        "<text:ruby><text:ruby-base>{}</text:ruby-base></text:ruby> ",
                    ]
                ).format(inside)
            )  # fmt: skip
        return "".join(parts)

    def block(depth: int) -> str:
        kind = choose.randint(0, 6 if depth else 1)
        if kind <= 1:
            return f"<text:{'ph'[kind]}>{inline(choose.randint(0, 3))}</text:{'ph'[kind]}>"
        inside = "".join(block(depth - 1) for _ in range(choose.randint(1, 3)))
        around = f"<table:table-cell>{inside}</table:table-cell>"
        return {
            2: f"<text:list><text:list-item>{inside}</text:list-item><text:list-header>{block(0)}</text:list-header>"
            "</text:list>",
            3: f"<table:table>{row_of(around)}</table:table>",
            4: f"<table:table>{row_of(around, cell(next(words)))}</table:table>",
            5: f"<text:section>{inside}</text:section>",
            6: f"<draw:g><draw:frame><draw:text-box>{inside}</draw:text-box></draw:frame></draw:g>",
        }[kind]

    return "".join(block(3) for _ in range(3))


def words_of(element: ET.Element) -> Iterator[str]:
    for node in element.iter():
        for text in (node.text, node.tail):
            yield from re.findall(r"word\d+", text or "")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_every_text_node_is_read_once(seed: int) -> None:
    body = document(seed)
    expected = sorted(words_of(ET.fromstring(content_xml(TEXT, body))))  # noqa: S314 - our own XML
    assert sorted(re.findall(r"word\d+", text_of(body))) == expected


class TestFlatFiles:
    MASTER = (
        "<style:master-page style:name='Standard'><style:header><text:p>Confidential</text:p></style:header>"
        "</style:master-page>"
    )
    BODIES: ClassVar = {
        TEXT: '<text:h text:outline-level="1">One</text:h><text:p>seen</text:p>'
        '<text:p text:style-name="H">gone</text:p>',
        SHEET: f'<table:table table:name="Plans">{row_of(cell("Plan"), cell("Price"))}{row_of(cell("Solo"), cell("9"))}'
        "</table:table>",
        SLIDES: '<draw:page draw:name="a"><draw:frame presentation:class="title"><draw:text-box><text:p>Title</text:p>'
        "</draw:text-box></draw:frame></draw:page>",
    }

    @pytest.mark.parametrize("kind", KINDS)
    async def test_they_are_read_as_the_packed_ones(self, kind: str, read: Read) -> None:
        hidden = style("H", "paragraph", '<style:text-properties text:display="none"/>')
        given = {"automatic_styles": hidden, "masters": self.MASTER}
        packed = found_in(kind, self.BODIES[kind], **given)
        flat = await read(make_flat_document(kind, self.BODIES[kind], **given), "flat.xml")
        assert (flat.text, flat.spans, flat.page_starts) == (packed.text, packed.spans, packed.page_starts)
        assert flat.media_type == KINDS[kind]

    def test_pictures_and_embedded_charts(self) -> None:
        chart = make_flat_document("chart", "<text:p>Sales</text:p>").decode().partition("\n")[2]
        body = (
            f"<text:p>before<draw:frame><draw:image><office:binary-data>{'QUJD' * 3_000_000}</office:binary-data>"
            f"</draw:image></draw:frame><draw:frame><draw:object>{chart}</draw:object></draw:frame></text:p>"
        )
        assert read(make_flat_document(TEXT, body), MediaType.ODT).text == "before\n\nSales"

    async def test_attached_to_a_mail(self, read: Read) -> None:
        mail = EmailMessage()
        mail["From"], mail["Subject"] = "ada@example.com", "Report"
        mail.set_content("See the file.")
        data = make_flat_document(TEXT, self.BODIES[TEXT])
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename="a.fodt")
        assert (await read(mail.as_bytes(), "a.eml")).text.endswith("a.fodt\n\nOne\n\nseen\n\ngone")

    def test_another_xml_file_is_text(self) -> None:
        for text in ("<a>office:document</a>", "<office:document office:mimetype='application/vnd.x'/>", "<office:"):
            assert binary_type(text.encode()) is None
