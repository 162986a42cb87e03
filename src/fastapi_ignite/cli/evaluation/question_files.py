"""Reads what a user writes about documents of their own: `questions.jsonl` or `questions.csv` beside `documents/`.

Each line has `question`, and of `answer`, `file`, `page` (from 1), `quote` and `id` what is known. Lines with the same
question are one question with several places. Where `answer` is empty and no file is named, the question must be
refused. `rejected` has answers that should not be given again.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi_ignite.cli.evaluation.datasets import Dataset, DatasetError, Document, Evidence, Question
from fastapi_ignite.cli.evaluation.json_lines import json_lines
from fastapi_ignite.cli.file_uploads import hash_file
from fastapi_ignite.cli.found_files import find_files

DOCUMENTS = "documents"


def read_question_folder(folder: Path, stored: Iterable[str] | None = None) -> Dataset:
    """Read the folder. `stored` has the names of the files of a project that holds the documents already.

    Raises:
        DatasetError: a file is missing or malformed, or a line names a file that is not there.
    """
    lines, table = folder / "questions.jsonl", folder / "questions.csv"
    if lines.is_file() == table.is_file():
        raise DatasetError(
            f"{folder}: it must have corpus.jsonl (BEIR), or questions.jsonl or questions.csv beside {DOCUMENTS}/."
        )
    if stored is None:
        documents, known = _documents(folder / DOCUMENTS)
    else:
        documents, known = {}, {name: name for name in stored}
    rows = json_lines(lines) if lines.is_file() else _csv_rows(table)
    return Dataset(folder.resolve().name, documents, read_questions(rows, known))


def read_questions(rows: Iterable[tuple[str, Mapping[str, Any]]], known: Mapping[str, str]) -> Sequence[Question]:
    """Return the questions of these lines. `known` has the document of each file that they may name.

    Raises:
        DatasetError: a line is malformed, or names a file that is not there.
    """
    by_text: dict[str, Question] = {}
    for place, row in rows:
        read = _question(place, row, known)
        before = by_text.get(read.text)
        by_text[read.text] = read if before is None else _merge(before, read, place)
    if not by_text:
        raise DatasetError("There is no question.")
    if len({question.id for question in by_text.values()}) < len(by_text):
        raise DatasetError("Two different questions have the same 'id'.")
    return list(by_text.values())


def _documents(folder: Path) -> tuple[dict[str, Document], dict[str, str]]:
    """Return the documents by their paths in the folder, and the document of each path and of each name that is the
    only one of its kind. Files of the same content are one document, as they are for the API.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder.")
    found = find_files([str(folder)])
    if found.unusable:
        raise DatasetError(f"{found.unusable[0].path}: {found.unusable[0].reason}")
    documents: dict[str, Document] = {}
    by_content: dict[str, str] = {}
    paths: dict[str, str] = {}
    names: defaultdict[str, set[str]] = defaultdict(set)
    for file in sorted(found.files, key=lambda file: file.name):
        document_id = by_content.setdefault(hash_file(file).sha256, file.name)
        paths[file.name] = document_id
        names[PurePosixPath(file.name).name].add(document_id)
        if document_id == file.name:
            documents[document_id] = Document(document_id, document_id, file.path)
    if not documents:
        raise DatasetError(f"{folder}: there is no file, or only empty ones.")
    return documents, {name: ids.pop() for name, ids in names.items() if len(ids) == 1} | paths


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            if "question" not in (reader.fieldnames or ()):
                raise DatasetError(f"{path}: the first line must name the columns; 'question' is missing.")
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DatasetError(f"{path}: it is not CSV in UTF-8: {error}") from None


def _question(place: str, row: Mapping[str, Any], known: Mapping[str, str]) -> Question:
    (text,) = _texts(row, "question", place) or [""]
    if not text:
        raise DatasetError(f"{place}: 'question' is missing or empty.")
    answers, rejected = _texts(row, "answer", place), _texts(row, "rejected", place)
    evidence = _evidence(place, row, known)
    answerable: bool | None = bool(answers) or evidence is not None
    if not answerable and row.get("answer") is None:
        if not rejected:
            raise DatasetError(f"{place}: give 'answer' or 'file'. An empty answer means that it must be refused.")
        answerable = None
    return Question(
        next(iter(_texts(row, "id", place)), text),
        text,
        relevant={evidence.document_id: 1} if evidence else {},
        answers=answers,
        evidence=[evidence] if evidence else (),
        answerable=answerable,
        rejected=rejected,
    )


def _evidence(place: str, row: Mapping[str, Any], known: Mapping[str, str]) -> Evidence | None:
    name, quote = (next(iter(_texts(row, key, place)), None) for key in ("file", "quote"))
    page = row.get("page")
    if page is not None and (isinstance(page, bool) or not str(page).strip().isdecimal()):
        if str(page).strip():
            raise DatasetError(f"{place}: 'page' must be a whole number from 1.")
        page = None
    if name is None:
        if quote is not None or page is not None:
            raise DatasetError(f"{place}: 'quote' and 'page' need 'file'.")
        return None
    if name not in known:
        raise DatasetError(f"{place}: there is no file named {name}, or there are several. Give its path.")
    if page is not None and int(page) < 1:
        raise DatasetError(f"{place}: 'page' must be a whole number from 1.")
    return Evidence(known[name], None if page is None else int(page), quote)


def _merge(before: Question, other: Question, place: str) -> Question:
    if before.answerable != other.answerable:
        raise DatasetError(f"{place}: the same question must be refused on one line and answered on another.")
    return Question(
        before.id,
        before.text,
        {**before.relevant, **other.relevant},
        list(dict.fromkeys([*before.answers, *other.answers])),
        [*before.evidence, *other.evidence],
        before.answerable,
        list(dict.fromkeys([*before.rejected, *other.rejected])),
    )


def _texts(row: Mapping[str, Any], key: str, place: str) -> list[str]:
    """Return the texts of a field that has one or, in JSON, several; without empty ones."""
    value = row.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(each, str) for each in values):
        raise DatasetError(f"{place}: {key!r} is not a text.")
    return [each.strip() for each in values if each.strip()]
