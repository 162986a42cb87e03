"""The rows and cells of a table in the stored text."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.text.tables import LONGEST_HEADER, cell_text, column_names, table_rows


def table(text: str, separator: str, header_rows: int = 1) -> Span:
    return Span(SpanKind.TABLE, 0, len(text), header_rows, separator)


def cells(text: str, separator: str) -> list[list[str]]:
    rows = table_rows(text, table(text, separator))
    return [[cell_text(text, cell, separator) for cell in row.cells] for row in rows]


@pytest.mark.parametrize(
    ("separator", "text", "expected"),
    [
        ("\t", "Plan\tPrice\n\nTeam\t49", [["Plan", "Price"], ["Team", "49"]]),
        ("\t", "\tQ1\nNorth\t\t7", [["", "Q1"], ["North", "", "7"]]),
        ("|", "| Plan | Price |\n|:--|--:|\n| Team | 49 |\n", [["Plan", "Price"], ["Team", "49"]]),
        ("|", "Plan | Price\n--- | ---\nTeam | 49", [["Plan", "Price"], ["Team", "49"]]),
        ("|", "  | a \\| b | |\n|-|-|\n| | 2 |", [["a | b", ""], ["", "2"]]),
        (
            ";",
            'name;note\nAda;"first; ""true""\nprogrammer"\n',
            [["name", "note"], ["Ada", 'first; "true" programmer']],
        ),
        (",", 'a,b\n"1,5",2\n', [["a", "b"], ["1,5", "2"]]),
        (",", 'a,b\n"never closed,2\n3,4', [["a", "b"], ['"never closed', "2"], ["3", "4"]]),
    ],
)
def test_cells(separator: str, text: str, expected: list[list[str]]) -> None:
    assert cells(text, separator) == expected


def test_a_row_of_csv_is_whole_though_a_cell_has_line_ends() -> None:
    text = 'name;note\nAda;"one\ntwo"\nBob;x'
    rows = [text[row.start : row.end] for row in table_rows(text, table(text, ";"))]
    assert rows == ["name;note", 'Ada;"one\ntwo"', "Bob;x"]


@given(st.lists(st.lists(st.text(st.sampled_from('a1 ",;\n'), max_size=5), min_size=2, max_size=4), max_size=6))
def test_csv_is_read_as_the_standard_library_reads_it(rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    assert cells(file.getvalue(), ";") == [[" ".join(cell.split()) for cell in row] for row in rows]


def test_names_of_columns() -> None:
    assert column_names("Plan\tPrice\nTeam\t49", table("Plan\tPrice\nTeam\t49", "\t")) == ("Plan", "Price")
    two = "\t2025\t\nRegion\tQ1\tQ2\nNorth\t1\t2"
    assert column_names(two, table(two, "\t", 2)) == ("Region", "2025 Q1", "Q2")
    assert column_names(two, table(two, "\t", 0)) == ()


def test_a_header_that_is_too_wide_names_its_first_columns() -> None:
    text = "\t".join(f"column number {number}" for number in range(2_000)) + "\n1\t2"
    names = column_names(text, table(text, "\t"))
    assert names[0] == "column number 0"
    assert sum(map(len, names)) <= LONGEST_HEADER
