"""Reads collections in BEIR layout: `corpus.jsonl`, `queries.jsonl`, and `qrels.tsv` or `qrels/*.tsv`.

`answers.jsonl` is an addition of ours for the questions that are also asked: `query_id`, `answers` with the `text` of
each right answer as it stands in the document, and `unanswerable`.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

from fastapi_ignite.cli.evaluation.datasets import Dataset, DatasetError, Document, Evidence, Question
from fastapi_ignite.cli.evaluation.json_lines import json_lines, text_of

LONGEST_NAME = 200
DEFAULT_SPLIT = "test"


def is_beir(folder: Path) -> bool:
    return (folder / "corpus.jsonl").is_file()


def read_beir(folder: Path, split: str | None = None) -> Dataset:
    """Read the collection with the judgements of this split.

    Empty documents are left out. Documents of the same content are one document with the first one's id, as they are
    for the API.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    documents: dict[str, Document] = {}
    same: dict[str, str] = {}
    by_content: dict[bytes, str] = {}
    for place, line in json_lines(folder / "corpus.jsonl"):
        document_id = text_of(line, "_id", place)
        content = _as_markdown(text_of(line, "title", place, default=""), text_of(line, "text", place))
        if not content:
            continue
        same[document_id] = by_content.setdefault(content, document_id)
        if same[document_id] == document_id:
            documents[document_id] = Document(document_id, filename_of(document_id), content)
    relevant = _judgements(_qrels_file(folder, split), same)
    answers = _answers(folder / "answers.jsonl")
    questions: list[Question] = []
    seen: set[str] = set()
    for place, line in json_lines(folder / "queries.jsonl"):
        query_id = text_of(line, "_id", place)
        if query_id in seen:
            raise DatasetError(f"{place}: the id {query_id!r} is used twice.")
        seen.add(query_id)
        known = answers.get(query_id)
        if not relevant[query_id] and known is None:
            continue
        spans, answerable = known or ((), None)
        questions.append(
            Question(
                query_id,
                text_of(line, "text", place),
                relevant[query_id],
                answers=spans,
                evidence=[Evidence(document, quote=span) for document in relevant[query_id] for span in spans],
                answerable=answerable,
            )
        )
    if not documents or not questions:
        raise DatasetError(f"{folder}: there is no document, or no question with a judgement.")
    return Dataset(folder.resolve().name, documents, questions)


def filename_of(document_id: str) -> str:
    """Return the name of the uploaded file. It is valid in every file system, and always the same for an id."""
    safe = quote(document_id, safe=" ").replace(" ", "_")
    if len(safe) > LONGEST_NAME or safe.startswith("."):
        safe = hashlib.sha256(document_id.encode()).hexdigest()
    return f"{safe}.md"


def _as_markdown(title: str, text: str) -> bytes:
    """Return the title as a heading, and the text without a change, so that quotes can be compared with it."""
    title, text = " ".join(title.split()), text.strip()
    return "\n\n".join(part for part in (f"# {title}" if title else "", text) if part).encode()


def _qrels_file(folder: Path, split: str | None) -> Path:
    single = folder / "qrels.tsv"
    if single.is_file() and split is None:
        return single
    found = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    chosen = found.get(split or DEFAULT_SPLIT)
    if chosen is None:
        there = ", ".join(found) or "none"
        raise DatasetError(
            f"{folder}: no judgements for {split or DEFAULT_SPLIT!r}. Choose with --split; there are: {there}."
        )
    return chosen


def _judgements(path: Path, same: dict[str, str]) -> dict[str, dict[str, int]]:
    """Return the grades above zero by question and document. A judgement of an unknown document is left out."""
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if not row or (number == 1 and not _is_grade(row[-1])):
                continue
            if len(row) != 3 or not _is_grade(row[2]):  # noqa: PLR2004 - question, document, grade
                raise DatasetError(f"{path}, line {number}: it is not 'query-id<TAB>corpus-id<TAB>score'.")
            query_id, document_id, grade = row[0], same.get(row[1]), int(row[2])
            if grade > 0 and document_id is not None:
                relevant[query_id][document_id] = max(grade, relevant[query_id].get(document_id, 0))
    return relevant


def _is_grade(value: str) -> bool:
    return value.strip().lstrip("-").isdecimal()


def _answers(path: Path) -> dict[str, tuple[list[str], bool]]:
    """Return the right answers of each question, and whether there are any."""
    if not path.is_file():
        return {}
    known = {}
    for place, line in json_lines(path):
        spans = line.get("answers", [])
        if not isinstance(spans, list) or not all(isinstance(span, dict) for span in spans):
            raise DatasetError(f"{place}: 'answers' is not a list of objects.")
        texts = [text_of(span, "text", place) for span in spans]
        known[text_of(line, "query_id", place)] = (texts, bool(texts) and not line.get("unanswerable", False))
    return known
