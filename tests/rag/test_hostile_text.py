"""Texts that are made to keep a process busy: the time must grow in proportion to the length, whatever they contain.

With quadratic work each of these texts would take minutes; the bound leaves room for a slow machine.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from fastapi_ignite.rag.answers.alignment import Statement, align
from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.local.generative.answer_parsing import AnswerReader
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.chunking import chunk_text
from fastapi_ignite.rag.text.sentences import split_sentences

pytestmark = pytest.mark.timeout(60)

LENGTH = 300_000
RUNS = {
    "a word": "a",
    "points": ".",
    "points and quotation marks": '."',
    "initials": "B. ",
    "an abbreviation": "Mr. ",
    "words before initials": f"{'a' * 1300} price {'B. ' * 250}",
    "brackets": "[",
    "quotation marks": '"',
    "blanks": " ",
    "lines": "\n",
    "blank lines": "\n ",
    "lines that read on": f"{'a' * 60}\n",
    "figures": "1",
    "figures and commas": "1,",
    "accents out of order": "\u0301\u0316",
    "marks of passages": "[1]",
    "marks that do not end": "[1: x",
    "names": "IT A ",
    "hyphens": "a-\n",
    "escapes": "\\u00e1",
    "Thai": "\u0e01 ",
    "comments": "# a\n",
    "invisible characters": "\u00ad\n\u200b",
}


def run(pattern: str, length: int = LENGTH) -> str:
    return (pattern * (length // len(pattern) + 1))[:length]


def read(said: str) -> None:
    reader = AnswerReader([Passage(uuid4(), 0, 23, "Words that are a source", 0, None, 1.0)])
    reader.read(said, truncated=True)
    reader.read_beginning(said)


TABLES = {
    "cells": "a;",
    "quotation marks": '"',
    "quoted cells": '"a";',
    "unclosed cells": '"a\n;',
    "rows": "a\n",
    "bars": "|\n|",
}


@pytest.mark.parametrize("separator", ["|", ";"])
@pytest.mark.parametrize("pattern", TABLES.values(), ids=TABLES)
def test_tables(pattern: str, separator: str) -> None:
    text = run(pattern, LENGTH // 3)
    span = Span(SpanKind.TABLE, 0, len(text), 1, separator)
    chunk_text(text, None, [span])
    split_sentences(text, [span])


@pytest.mark.parametrize("kind", list(SpanKind))
def test_spans_without_number(kind: SpanKind) -> None:
    text = run("word\n", LENGTH // 3)
    spans = [Span(kind, start, start + 4, 1 + start % 7, "\t") for start in range(0, len(text) - 4, 5)]
    chunk_text(text, None, spans)
    split_sentences(text, spans)


@pytest.mark.parametrize("pattern", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("work", [split_sentences, analyze, read, lambda text: chunk_text(text, None)])
def test_time_grows_with_the_length_and_not_with_its_square(work: Callable[[str], object], pattern: str) -> None:
    work(run(pattern))


def test_a_line_after_a_long_indentation() -> None:
    text = f"{' ' * LENGTH}{'The first line of many that all read on, to the last of them,' + chr(10)}"
    split_sentences(text + "and one more of them.\n" + run("the next of many lines that all read on to the last\n"))


def test_an_answer_that_cites_the_same_files_again_and_again() -> None:
    texts = [f"The catalogue has item {number}, which costs nine euros. " * 60 for number in range(8)]
    sources = [("file", Passage(uuid4(), 0, len(text), text, 0, None, 1.0)) for text in texts]
    statements = [Statement("Ganz andere Worte.", "file")] * 10_000
    (quote,) = align(statements, sources, trust_named_source=True)
    assert quote.support == "retrieved"
