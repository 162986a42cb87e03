"""Excel workbooks: values as people see them, and tables with their headers."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import product
from string import ascii_uppercase

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, SpanKind
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.xlsx import read as read_xlsx
from support.workbook_files import NAMESPACES, Sheet, make_workbook, rows, text_cell, worksheet

Read = Callable[..., Awaitable[ExtractedText]]


def read(data: bytes) -> ExtractedText:
    return read_xlsx(data, MediaType.XLSX)


def lines(*sheets: Sheet, **more: object) -> list[str]:
    """Return the lines of a workbook without the names of its sheets."""
    found = read(make_workbook(sheets, **more))  # type: ignore[arg-type]  # of make_workbook
    return [line for line in found.text.split("\n") if line and line != "Sheet1"]


def tables(found: ExtractedText) -> list[tuple[str, int]]:
    return [(found.text[span.start : span.end], span.level) for span in found.spans if span.kind is SpanKind.TABLE]


class TestValues:
    async def test_a_workbook_is_read_in_the_sealed_process(self, read: Read) -> None:
        data = make_workbook([Sheet(rows([["Name", "Age"], ["Ada", 42]]), "People")])
        found = await read(data, "people.xlsx")
        assert (found.text, found.page_starts) == ("People\n\nName\tAge\nAda\t42", None)

    def test_formats(self) -> None:
        cells = '<c r="A1" s="1"><v>0.475</v></c><c r="B1" s="2"><v>46095</v></c><c r="C1"><v>12.0</v></c>'
        assert lines(Sheet(f'<row r="1">{cells}</row>'), formats=["0.00%", "dd.mm.yyyy"]) == ["47.50%\t14.03.2026\t12"]

    def test_booleans_errors_and_dates_of_strict_files(self) -> None:
        cells = (
            '<c r="A1" t="b"><v>1</v></c><c r="B1" t="e"><v>#DIV/0!</v></c>'
            '<c r="C1" t="d"><v>2026-03-14T15:09:00</v></c><c r="D1" t="d"><v>2026-03-14</v></c>'
        )
        found = lines(Sheet(f'<row r="1">{cells}</row>'), strict=True)
        assert found == ["TRUE\t#DIV/0!\t2026-03-14 15:09:00\t2026-03-14"]

    def test_the_epoch_of_1904(self) -> None:
        sheet = Sheet('<row r="1"><c r="A1" s="1"><v>44633</v></c></row>')
        assert lines(sheet, formats=["yyyy-mm-dd"], epoch_1904=True) == ["2026-03-14"]

    def test_a_formula_without_a_value_shows_itself(self) -> None:
        cells = (
            '<c r="A1"><f>B1*2</f><v>84</v></c><c r="B1"><f>_xlfn.CONCAT(A1,&amp;)</f></c>'
            '<c r="C1"><f t="shared" si="0"/></c><c r="D1" t="str"><f>""</f><v></v></c><c r="E1"><v>7</v></c>'
        )
        assert lines(Sheet(f'<row r="1">{cells}</row>')) == ["84\t=CONCAT(A1,&)\t=?\t7"]

    def test_shared_strings_without_their_phonetic_guides(self) -> None:
        strings = [
            "<r><t>年</t></r><r><rPr/><t>假</t></r><rPh sb='0' eb='1'><t>ねん</t></rPh>",
            "<t>first_x000D_\nsecond_x005F_x</t>",
        ]
        cells = '<c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c>'
        assert lines(Sheet(f'<row r="1">{cells}</row>'), strings=strings) == ["年假\tfirst second_x"]

    def test_runs_are_read_as_their_format_shows_them(self) -> None:
        raised, symbol = '<rPr><vertAlign val="superscript"/></rPr>', '<rPr><rFont val="Symbol"/></rPr>'
        runs = f"<r><t>10</t></r><r>{raised}<t>6</t></r><r><t>, 5 </t></r><r>{symbol}<t>m</t></r><r><t>g</t></r>"
        assert lines(Sheet('<row r="1"><c r="A1" t="s"><v>0</v></c></row>'), strings=[runs]) == ["10⁶, 5 µg"]

    def test_a_string_that_is_missing_is_damage(self) -> None:
        for place in ("7", "-1", "x"):
            with pytest.raises(ExtractionError, match=ErrorCode.CORRUPT_FILE):
                lines(Sheet(f'<row r="1"><c r="A1" t="s"><v>{place}</v></c></row>'), strings=["<t>one</t>"])

    def test_a_format_for_texts(self) -> None:
        assert lines(Sheet('<row r="1"><c r="A1" t="str" s="1"><v>4711</v></c></row>'), formats=['"No. "@']) == [
            "No. 4711"
        ]


class TestSheets:
    def test_hidden_sheets_rows_and_columns_are_marked(self) -> None:
        body = rows([["Item", "Cost"], ["Stove", 800]]) + '<row r="3" hidden="1">' + text_cell("A3", "Pipe") + "</row>"
        columns = '<cols><col min="2" max="2" hidden="1"/></cols>'
        found = read(make_workbook([Sheet(body, "Prices", "hidden", before=columns), Sheet("", "Empty")]))
        assert found.text == ("Prices (hidden sheet)\n\nItem\tCost (hidden column)\nStove\t800\nPipe\t(hidden row)")

    def test_comments_stand_behind_the_table_with_their_cells(self) -> None:
        comments = (
            f"<comments {NAMESPACES}><authors><author>Ada</author><author>tc={{1}}</author></authors><commentList>"
            '<comment ref="B2" authorId="0"><text><r><t>Ada:</t></r><r><t>\nnet of tax</t></r></text></comment>'
            '<comment ref="C3" authorId="1"><text><t>[Threaded comment]</t></text></comment></commentList></comments>'
        )
        sheet = Sheet(rows([["text"]]), relations=[("c", "comments", "../comments1.xml")])
        assert lines(sheet, parts={"xl/comments1.xml": comments}) == ["text", "Comment on B2 by Ada: net of tax"]

    def test_text_boxes_are_read(self) -> None:
        drawing = (
            '<xdr:wsDr xmlns:xdr="x" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><xdr:twoCellAnchor>'
            "<xdr:sp><xdr:txBody><a:p><a:r><a:t>A note on top</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
            "</xdr:twoCellAnchor></xdr:wsDr>"
        )
        sheet = Sheet(relations=[("d", "drawing", "../drawings/drawing1.xml")])
        assert lines(sheet, parts={"xl/drawings/drawing1.xml": drawing}) == ["A note on top"]

    def test_a_sheet_that_is_missing_is_damage(self) -> None:
        data = make_workbook([Sheet(rows([["a"]]))]).replace(b"worksheets/sheet1.xml", b"worksheets/sheet9.xml")
        with pytest.raises(ExtractionError, match=ErrorCode.CORRUPT_FILE):
            read(data)

    @pytest.mark.parametrize("kind", ["template.main+xml", "sheet.main+xml"])
    async def test_templates_and_empty_workbooks(self, read: Read, kind: str) -> None:
        with pytest.raises(ExtractionError, match=ErrorCode.NO_TEXT):
            await read(make_workbook([Sheet("", "Only a name")], kind=kind))


class TestTables:
    def test_an_empty_row_ends_a_table(self) -> None:
        body: list[list[str | float | None]] = [
            ["Plan", "Price"],
            ["Plus", 19],
            [],
            ["City", "Depot"],
            ["Oslo", "Alta"],
        ]
        assert tables(read(make_workbook([Sheet(rows(body))]))) == [
            ("Plan\tPrice\nPlus\t19", 1),
            ("City\tDepot\nOslo\tAlta", 1),
        ]

    def test_rows_of_values_have_no_header(self) -> None:
        assert tables(read(make_workbook([Sheet(rows([["Plus", 19], ["Team", 49]]))]))) == [("Plus\t19\nTeam\t49", 0)]

    def test_years_are_names_of_columns(self) -> None:
        body = rows([["Item", 2024, 2025], ["Revenue", 10, 12]])
        assert tables(read(make_workbook([Sheet(body)])))[0][1] == 1

    def test_titles_above_a_table_are_paragraphs(self) -> None:
        found = read(make_workbook([Sheet(rows([["Report 2026"], ["in euros"], ["Plan", "Price"], ["Plus", 19]]))]))
        assert found.text == "Sheet1\n\nReport 2026\n\nin euros\n\nPlan\tPrice\nPlus\t19"
        assert tables(found) == [("Plan\tPrice\nPlus\t19", 1)]

    def test_a_header_set_off_by_an_empty_row_belongs_to_its_values(self) -> None:
        found = read(make_workbook([Sheet(rows([["Zone", "Sales"], [], ["North", 12], ["South", 9]]))]))
        assert tables(found) == [("Zone\tSales\nNorth\t12\nSouth\t9", 1)]

    def test_a_merged_cell_is_repeated_in_its_rows(self) -> None:
        body = rows([["Region", "Depot"], ["North", "Alta"], [None, "Kirkenes"], [None, "Vardø"]])
        merged = '<mergeCells><mergeCell ref="A2:A3"/></mergeCells>'
        assert lines(Sheet(body, behind=merged)) == ["Region\tDepot", "North\tAlta", "North\tKirkenes", "\tVardø"]

    def test_a_header_of_two_rows(self) -> None:
        body = rows([["Item", "2026", None], [None, "Plan", "Actual"], ["Sales", 10, 12]])
        merged = '<mergeCells><mergeCell ref="A1:A2"/><mergeCell ref="B1:C1"/></mergeCells>'
        found = read(make_workbook([Sheet(body, behind=merged)]))
        assert tables(found) == [("Item\t2026\t2026\nItem\tPlan\tActual\nSales\t10\t12", 2)]

    def test_a_declared_table_knows_its_header(self) -> None:
        table = f'<table {NAMESPACES} ref="A2:B3" headerRowCount="1"/>'
        sheet = Sheet(rows([["a", "b"], ["1", 2], ["x", 3]]), relations=[("t", "table", "../tables/table1.xml")])
        found = read(make_workbook([sheet], parts={"xl/tables/table1.xml": table}))
        assert tables(found) == [("a\tb", 0), ("1\t2\nx\t3", 1)]

    def test_columns_without_text_are_left_out(self) -> None:
        cells = text_cell("A1", "left") + text_cell("XFD1", "right")
        assert lines(Sheet(f'<row r="1">{cells}</row>')) == ["left\tright"]


class TestWaysToWrite:
    """Rows in an unusual form are read by the XML parser, which must give the same result as the fast reader."""

    BODY = (
        rows([["Name", "R&D"], ["Ada <1>", 42]])
        + '<row r="4" hidden="1" spans="1:2"><c r="A4" s="1"/><c r="B4" s="1"><v>0.5</v></c></row>'
    )

    @pytest.mark.parametrize(
        "change",
        [
            lambda xml: xml.replace("<sheetData>", "<!-- a comment --><sheetData>"),
            lambda xml: xml.replace("<c ", "<c\n  ").replace("<row", "\n  <row"),
            lambda xml: xml.replace("><c", ">\n<c").replace("</c><", "</c>\n<").replace("<v>", "\n<v>"),
            lambda xml: (
                xml.replace("xmlns=", "xmlns:x=")
                .replace("</", "</x:")
                .replace("<", "<x:")
                .replace("<x:/x:", "</x:")
                .replace("<x:?", "<?")
            ),
            lambda xml: xml.replace('r="A1" ', "").replace('r="B1" ', "").replace('<row r="2"', "<row"),
            lambda xml: xml.replace("42", "&#52;2"),
            lambda xml: xml.replace('"', "'"),
            lambda xml: "\ufeff" + xml,
        ],
    )
    def test_the_same_rows(self, change: Callable[[str], str]) -> None:
        sheet = Sheet(self.BODY)
        plain = lines(sheet, formats=["0%"])
        assert plain == ["Name\tR&D", "Ada <1>\t42", "50% (hidden row)"]
        assert lines(sheet, formats=["0%"], parts={"xl/worksheets/sheet1.xml": change(worksheet(sheet))}) == plain

    def test_rows_that_are_alike_and_rows_that_are_not(self) -> None:
        """Most rows of a long table are read by one pattern, whatever stands between them."""
        others = {
            0: '<c r="A{n}" t="str"><v>a &amp; b_x0041_</v></c><c r="B{n}" s="1"><v>12.5</v></c>',
            1: '<c r="A{n}" s="1"/><c r="B{n}" s="1"><v>7</v></c><c r="C{n}" t="s"><v>1</v></c>',
            2: '<c r="A{n}" t="str"><v>only a name</v></c>',
            3: '<c r="A{n}" t="str"/><c r="B{n}" s="1"/>',
            4: '<c r="A{n}" t="str"><f>B{n}</f><v>8</v></c><c r="B{n}" t="b"><v>1</v></c>',
            5: '<c r="A{n}" t="str"><v>x</v></c><c r="B{n}"><f>A{n}*2</f></c><c r="C{n}" t="s"><v>0</v></c>',
            6: '<c r="A{n}" t="inlineStr"><is><t xml:space="preserve"> rich </t></is></c><c r="D{n}"><v>4</v></c>',
        }
        plain = '<c r="A{n}" t="str"><v>name {n}</v></c><c r="B{n}" s="1"><v>{n}</v></c><c r="C{n}" t="s"><v>1</v></c>'
        starts = ('<row r="{n}">', '<row r="{n}" spans="1:3" hidden="1">', '<row r="{n}" hidden="false" ht="12.5">')

        def plain_row(n: int) -> str:
            start = starts[n % 7 % 3] if n != 777 else "<row>"  # without a number
            return f"{start}{others.get(n % 19, plain)}</row>".replace("{n}", str(n)) + "\n" * (n % 5 == 0)

        header = '<row r="1">' + text_cell("A1", "Of") + text_cell("C1", "Both") + "</row>"
        sheet = Sheet(
            header + "".join(plain_row(n) for n in range(2, 900) if n % 101) + "<row/>",
            before='<cols><col min="3" max="3" hidden="1"/></cols>',
            behind='<mergeCells><mergeCell ref="A1:B1"/></mergeCells>',
        )
        workbook = partial(make_workbook, [sheet], formats=["0.0%"], strings=["<t>one</t>", "<t>two</t>"])
        by_parser = worksheet(sheet).replace("<sheetData>", "<!-- a comment --><sheetData>")
        found, expected = read(workbook()), read(workbook(parts={"xl/worksheets/sheet1.xml": by_parser}))
        assert (found.text, found.spans) == (expected.text, expected.spans)
        assert found.text.count("name") > 550


class TestHostileFiles:
    def refused(self, *sheets: Sheet, **more: object) -> str:
        with pytest.raises(ExtractionError) as caught:
            lines(*sheets, **more)
        return caught.value.code

    def test_a_string_that_many_cells_share(self) -> None:
        cells = '<c r="A1" t="s"><v>0</v></c>'
        body = "".join(f'<row r="{n}">{cells.replace("A1", f"A{n}")}</row>' for n in range(1, 2001))
        code = self.refused(Sheet(body), strings=[f"<t>{'x' * 100_000}</t>"])
        assert code == ErrorCode.TOO_MANY_CHARACTERS

    def test_a_diagonal_of_cells(self) -> None:
        names = ["".join(letters) for letters in product(ascii_uppercase, repeat=3)]
        body = "".join(f'<row r="{n}"><c r="{names[n]}{n}"><v>1</v></c></row>' for n in range(1, 9000))
        assert self.refused(Sheet(body)) == ErrorCode.TOO_LARGE

    def test_merged_cells_over_a_million_rows(self) -> None:
        letters = [chr(65 + place) for place in range(20)]
        first = '<row r="1">' + "".join(text_cell(f"{letter}1", "x" * 1000) for letter in letters) + "</row>"
        body = first + "".join(f'<row r="{n}"><c r="Z{n}"><v>1</v></c></row>' for n in range(2, 3000))
        merged = "".join(f'<mergeCell ref="{letter}1:{letter}1048576"/>' for letter in letters)
        assert self.refused(Sheet(body, behind=f"<mergeCells>{merged}</mergeCells>")) == ErrorCode.TOO_LARGE

    @pytest.mark.parametrize("body", ['<row r="1"><c r="A1"><v>1</v></row>', "<row><c>", "<row r='1'></c></row>"])
    def test_damage(self, body: str) -> None:
        assert self.refused(Sheet(body)) == ErrorCode.CORRUPT_FILE

    def test_entities_are_not_declared(self) -> None:
        declared = '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "lol">]>'
        cells = "<sheetData><row><c><v>&a;</v></c></row></sheetData>"
        bomb = f"{declared}<worksheet {NAMESPACES}>{cells}</worksheet>"
        assert self.refused(Sheet(), parts={"xl/worksheets/sheet1.xml": bomb}) == ErrorCode.CORRUPT_FILE


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co", "Z"]), min_size=1, max_size=12
).filter(lambda text: "_x" not in text and not text.startswith("="))
MOMENTS = st.datetimes(dt.datetime.fromisoformat("1950-01-01"), dt.datetime.fromisoformat("2100-01-01"))
VALUES = (
    TEXTS
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 4))
    | st.booleans()
    | MOMENTS.map(lambda value: value.replace(microsecond=0))
    | st.none()
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(VALUES, max_size=5), max_size=6), st.sampled_from(["shared strings", "inline strings"]))
def test_what_openpyxl_writes_and_reads_is_found(table: list[list[object]], way: str) -> None:
    book = openpyxl.Workbook(write_only=way == "inline strings")
    sheet = book.create_sheet("Values")
    for row in table:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    given_back = openpyxl.load_workbook(io.BytesIO(file.getvalue())).worksheets[-1]
    expected = [[_shown(value) for value in row if value is not None] for row in given_back.iter_rows(values_only=True)]
    found = [line.split("\t") for line in read(file.getvalue()).text.split("\n")[1:] if line]
    assert [[cell for cell in row if cell] for row in found] == [row for row in expected if row]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d} {value.hour}:{value:%M:%S}"
    if isinstance(value, float):
        return format(value, ".15g")
    return str(value)
