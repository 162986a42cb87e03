"""Tests of finding the title of a text without headings."""

from __future__ import annotations

import pytest

from fastapi_ignite.rag.text.titles import title_of

PARAGRAPH = "The pump moves forty litres a minute, and its seals are changed twice a year. " * 4


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Pump P-200\n\nIt moves forty litres a minute.", "Pump P-200"),
        ("\n\n  Pump P-200  \n \t\n\nIt moves forty litres.\n", "Pump P-200"),
        (f"Pumps and their seals\n{PARAGRAPH}", "Pumps and their seals"),
        (f"flow of a pump in a slipstream .\n{PARAGRAPH}", "flow of a pump in a slipstream ."),
        ("泵的维护\n\n泵每分钟输送四十升。", "泵的维护"),
    ],
)
def test_a_first_line_that_stands_apart_is_one(text: str, title: str) -> None:
    assert title_of(text) == title


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "Pump P-200",
        "Pump P-200\n",
        "Pump P-200\n\n \n",
        "The pump moves forty litres a minute.\n\nIts seals are changed twice a year.",  # a sentence
        "The pump moves forty litres a\nminute, and its seals are\nchanged twice a year.",  # lines of one paragraph
        f"Dear colleagues,\n\n{PARAGRAPH}",
        f"To do:\n{PARAGRAPH}",
        f"----------\n\n{PARAGRAPH}",
        f"{'long ' * 50}\n\n{PARAGRAPH}",
    ],
)
def test_what_is_none(text: str) -> None:
    assert title_of(text) == ""
