"""The spans of files whose text is stored without changes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction.child import extract_text
from fastapi_ignite.rag.extraction.structure import MOST_SPANS


def spans(text: str, suffix: str) -> list[tuple[str, int, str]]:
    """Return the kind, the level and the text of each span."""
    found = extract_text(text.encode(), suffix)
    assert found.text == text
    end = 0
    for span in found.spans:
        assert end <= span.start < span.end <= len(text)
        end = span.end
    return [(span.kind.value, span.level, text[span.start : span.end]) for span in found.spans]


class TestMarkdown:
    def test_headings(self) -> None:
        text = (
            "# One\n\n  ### Three ###\n#hashtag\n####### seven\n\nUnder\n=====\n\nline\nbelow\n---\n\n"
            "Two\n---\n    # code\n"
        )
        assert spans(text, ".md") == [
            ("heading", 1, "# One"),
            ("heading", 3, "### Three ###"),
            ("heading", 1, "Under"),
            ("heading", 2, "Two"),
            ("code", 0, "    # code"),
        ]

    def test_a_number_sign_in_code_and_front_matter_is_no_heading(self) -> None:
        text = "---\ntitle: x\n# comment\n---\n~~~sh\n# one\n```\n~~~\ntext\n\n    # two\n\n    more\n\n```\n# three\n"
        assert spans(text, ".md") == [
            ("code", 0, "title: x\n# comment"),
            ("code", 0, "# one\n```"),
            ("code", 0, "    # two\n\n    more"),
            ("code", 0, "# three"),
        ]

    def test_a_rule_at_the_top_is_no_front_matter(self) -> None:
        assert spans("---\n\n# Title\n\n---\n", ".md") == [("heading", 1, "# Title")]

    def test_list_items_with_their_lines(self) -> None:
        text = (
            "- one\n  goes on\nlazily\n* two\n    1. nested\n\n    still the list\n\n10) ten\n- [ ] task\n\n"
            "* * *\n-no\n"
        )
        assert [span[2] for span in spans(text, ".md")] == [
            *("- one\n  goes on\nlazily", "* two", "1. nested", "10) ten", "- [ ] task"),
        ]

    def test_tables(self) -> None:
        text = (
            "Prices:\n| Plan | EUR |\n|:---|---:|\n| a \\| b | 9 |\nTeam | 49\n\na | b\n--|--\n1 | 2\n\n"
            "x | y\n---\n| no |\n"
        )
        assert spans(text, ".md") == [
            ("table", 1, "| Plan | EUR |\n|:---|---:|\n| a \\| b | 9 |\nTeam | 49"),
            ("table", 1, "a | b\n--|--\n1 | 2"),
            ("heading", 2, "x | y"),
        ]

    def test_the_number_of_spans_is_bounded(self) -> None:
        assert len(extract_text(b"- a\n" * (MOST_SPANS + 10), ".md").spans) == MOST_SPANS
        assert extract_text(b"- a\n" * 1_000_001, ".md").spans == ()


class TestDelimited:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_the_separator_is_found(self, separator: str) -> None:
        text = "plan,price,seats\nSolo,9,1\nTeam,49,10\n".replace(",", separator)
        found = extract_text(text.encode(), ".csv")
        assert [(span.separator, span.level, span.start, span.end) for span in found.spans] == [
            (separator, 1, 0, len(text) - 1)
        ]

    @pytest.mark.parametrize(
        ("text", "header_rows"),
        [
            ("1,2\n3,4\n", 0),
            ("Ada,42\nBob,17\n", 0),
            ("name,2025,2026\nAda,4,5\n", 1),
            (",name,age\n0,Ada,42\n", 1),
            ("order,customer\nA-100,Abelard\n", 1),
            ("名前,住所\n佐藤,大阪\n", 1),
            ("ada@example.com,London\nbob@example.com,Oslo\n", 0),
            ("apple,round\nbanana,long\ncherry,round\n", 0),
            ("NR-1042,Encoder cable\nNR-1077,Suction cup\n", 0),
            ("Part 1,Part number\nGearbox,NR-2210\n", 1),
            ("name,city\nAda,Oslo\nname,city\nBob,Bonn\n", 1),
        ],
    )
    def test_a_header_is_names(self, text: str, header_rows: int) -> None:
        assert spans(text, ".csv") == [("table", header_rows, text[:-1])]

    def test_what_stands_above_a_table_is_no_row(self) -> None:
        table = "plan;price;\nSolo;9;1\nTeam;49;10"
        assert spans(f"Prices of 2026\n\n{table}\n\n", ".csv") == [("table", 1, table)]
        assert spans(f"sep=;\n{table}\n", ".csv") == [("table", 1, table)]

    def test_line_ends_in_cells(self) -> None:
        text = 'name,note\nAda,"two\nlines, and ""more"""\nBob,x'
        assert spans(text, ".csv") == [("table", 1, text)]
        assert spans(text.replace(",", "\t"), ".tsv") == []

    @pytest.mark.parametrize(
        "text",
        [
            "just one\ncolumn\nof words\n",
            "A letter, with commas.\nIt has lines.\nNone of them, or few, are alike, as they should be.\nYours\n",
            "alone,\n",
            'a,b\n"' + "x" * 200_000 + '",2\n',
        ],
    )
    def test_what_is_no_table_has_no_span(self, text: str) -> None:
        assert spans(text, ".csv") == []


class TestOthers:
    @pytest.mark.parametrize("suffix", [".py", ".yaml", ".toml", ".ini", ".conf", ".sql", ".css", ".js", ".sh"])
    def test_source_and_configuration_is_code(self, suffix: str) -> None:
        assert spans("\n# a comment\nx = 1\n\n", suffix) == [("code", 0, "# a comment\nx = 1")]
        assert spans("\n\n", suffix) == []

    @pytest.mark.parametrize("suffix", [".txt", ".log", ".json", ".xml", ".tex", ".ipynb", ""])
    def test_other_texts_have_no_structure(self, suffix: str) -> None:
        assert spans('# no heading\n\n- no item\n{"a": "\\u00e1"}\n', suffix) == []

    def test_restructured_text(self) -> None:
        text = (
            "=====\nTitle\n=====\n\nPart\n====\n\n.. code-block:: sh\n\n   # comment\n\n   run\n\n"
            "Like so::\n\n  x = 1\n\nSection\n-------\n\n.. note::\n   no code\n\n# no heading\n"
        )
        assert spans(text, ".rst") == [
            ("heading", 1, "Title"),
            ("heading", 2, "Part"),
            ("code", 0, "   # comment\n\n   run"),
            ("code", 0, "  x = 1"),
            ("heading", 3, "Section"),
        ]


# S stands for the separator; with more separators in its cells, a file could be read as two different tables
_CELL = st.text("abc1 éS\"'\n", max_size=8).map(str.strip)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(_CELL, _CELL, _CELL), min_size=2, max_size=8), st.sampled_from(",;"))
@example([("", "", ",,1"), ("", "", ",,")], ";")
def test_a_table_that_is_written_by_the_rules_is_read_back(rows: list[tuple[str, str, str]], separator: str) -> None:
    written = io.StringIO()
    cells = [[cell.replace("S", separator) for cell in row] for row in rows]
    csv.writer(written, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(cells)
    text = written.getvalue()
    (table,) = extract_text(text.encode(), ".csv").spans
    assert (table.separator, table.start, table.end) == (separator, 0, len(text) - 1)


_LINES = st.sampled_from(
    [
        "# one",
        "text",
        "",
        "- item",
        "  more",
        "    code",
        "```",
        "~~~ x",
        "| a | b |",
        "|---|---|",
        "===",
        "---",
        "\t1. x",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_LINES, max_size=25), st.sampled_from([".md", ".rst", ".csv"]))
def test_spans_never_overlap_whatever_the_lines(lines: list[str], suffix: str) -> None:
    text = "\n".join(lines)
    if text:
        spans(text, suffix)
