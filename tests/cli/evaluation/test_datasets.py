"""Data sets are read from files that users write, and every fault is named with its file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastapi_ignite.cli.evaluation.beir import filename_of, read_beir
from fastapi_ignite.cli.evaluation.datasets import LONGEST_QUESTION, Dataset, DatasetError, Document, Question
from fastapi_ignite.cli.evaluation.question_files import read_question_folder

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes files into one folder, lists as JSON lines, and returns the folder."""

    def make(**files: Any) -> Path:
        for key, content in files.items():
            path = tmp_path / key.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(map(json.dumps, content)) if isinstance(content, list) else content
            path.write_text(lines, encoding="utf-8")
        return tmp_path

    return make


CORPUS = [
    {"_id": "a/1", "title": "On apples", "text": "Nine trees."},
    {"_id": "b", "title": "", "text": "The owl sleeps."},
    {"_id": "empty", "title": "", "text": " "},
    {"_id": "again", "title": "", "text": "The owl sleeps."},
]
TEXTS = {"q1": "how many trees", "q2": "what of the owl", "q3": "?"}
QUERIES = [{"_id": name, "text": text} for name, text in TEXTS.items()]
QRELS = "query-id\tcorpus-id\tscore\nq1\ta/1\t2\nq2\tagain\t1\nq2\tb\t0\nq3\tgone\t1\n"


class TestBeir:
    def test_titles_become_headings_and_equal_documents_are_one(self, write: Write) -> None:
        read = read_beir(write(corpus_dot_jsonl=CORPUS, queries_dot_jsonl=QUERIES, qrels_dot_tsv=QRELS))
        contents = {name: document.read().decode() for name, document in read.documents.items()}
        assert contents == {"a/1": "# On apples\n\nNine trees.", "b": "The owl sleeps."}
        assert [(each.id, dict(each.relevant)) for each in read.questions] == [("q1", {"a/1": 2}), ("q2", {"b": 1})]
        assert not read.asks

    def test_known_answers_make_questions_that_are_asked(self, write: Write) -> None:
        answers = [
            {"query_id": "q1", "answers": [{"text": "Nine"}], "unanswerable": False},
            {"query_id": "q3", "answers": [], "unanswerable": True},
        ]
        read = read_beir(
            write(corpus_dot_jsonl=CORPUS, queries_dot_jsonl=QUERIES, qrels_dot_tsv=QRELS, answers_dot_jsonl=answers)
        )
        answered, searched, refused = read.questions
        assert (answered.answerable, searched.answerable, refused.answerable) == (True, None, False)
        assert (list(answered.answers), [proof.quote for proof in answered.evidence]) == (["Nine"], ["Nine"])
        assert read.asks

    def test_the_split_is_chosen_by_its_name(self, write: Write) -> None:
        folder = write(
            corpus_dot_jsonl=CORPUS,
            queries_dot_jsonl=QUERIES,
            qrels__dev_dot_tsv="q2\tb\t1",
            qrels__train_dot_tsv=QRELS,
        )
        assert [each.id for each in read_beir(folder, "dev").questions] == ["q2"]
        with pytest.raises(DatasetError, match=r"'test'\. Choose with --split; there are: dev, train\."):
            read_beir(folder)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"corpus_dot_jsonl": "{"}, r"corpus\.jsonl: it is not in JSON lines"),
            ({"corpus_dot_jsonl": "[]"}, r"corpus\.jsonl, line 1: it is not a JSON object"),
            (
                {"corpus_dot_jsonl": [{"_id": 4, "text": ""}]},
                r"corpus\.jsonl, line 1: '_id' is missing",
            ),
            ({"qrels_dot_tsv": "q1\ta/1"}, r"no document, or no question"),
            ({"qrels_dot_tsv": "q1\ta/1\t1\nq1 a/1 1"}, r"qrels\.tsv, line 2: it is not 'query-id"),
            ({"queries_dot_jsonl": [{"_id": "q1"}]}, r"queries\.jsonl, line 1: 'text' is missing"),
            ({"queries_dot_jsonl": [QUERIES[0], QUERIES[0]]}, r"queries\.jsonl, line 2: the id 'q1' is used twice"),
            (
                {"queries_dot_jsonl": [{"_id": "q1", "text": "y" * (LONGEST_QUESTION + 1)}]},
                r"more than 8,000",
            ),
            ({"answers_dot_jsonl": [{"query_id": "q1", "answers": "x"}]}, r"answers\.jsonl, line 1: 'answers' is not"),
        ],
    )
    def test_a_fault_is_named(self, write: Write, files: dict[str, Any], message: str) -> None:
        folder = write(**{"corpus_dot_jsonl": CORPUS, "queries_dot_jsonl": QUERIES, "qrels_dot_tsv": QRELS, **files})
        with pytest.raises(DatasetError, match=message):
            read_beir(folder)

    def test_ids_become_safe_and_different_names(self) -> None:
        ids = ["a/1", "a 1", "../x", ".hidden", "ü" * 300, "ü" * 301, "plain"]
        names = [filename_of(each) for each in ids]
        assert len(set(names)) == len(ids)
        assert all("/" not in name and not name.startswith(".") and len(name) <= 210 for name in names)
        assert filename_of("plain") == "plain.md"


class TestQuestionFolder:
    def test_lines_of_one_question_are_one_question(self, write: Write) -> None:
        folder = write(
            documents__guide_dot_txt="Nine trees.",
            documents__old__report_dot_txt="Eight trees.",
            documents__old__copy_dot_txt="Nine trees.",
            documents___dot_hidden="x",
            questions_dot_jsonl=[
                {
                    "question": "How many trees?",
                    "answer": ["nine", "9"],
                    "file": "copy.txt",
                    "page": 1,
                    "quote": "N",
                },
                {"question": "How many trees?", "file": "old/report.txt"},
                {"id": "none", "question": "Who pays?", "answer": ""},
                {"question": "Why?", "rejected": ["Because."]},
            ],
        )
        read = read_question_folder(folder)
        assert sorted(read.documents) == ["guide.txt", "old/report.txt"], "the copy is the same document"
        trees, refused, rejected = read.questions
        assert dict(trees.relevant) == {"guide.txt": 1, "old/report.txt": 1}
        assert (list(trees.answers), trees.answerable) == (["nine", "9"], True)
        assert [(proof.document_id, proof.page, proof.quote) for proof in trees.evidence] == [
            ("guide.txt", 1, "N"),
            ("old/report.txt", None, None),
        ]
        assert (refused.id, refused.answerable, dict(refused.relevant)) == ("none", False, {})
        assert (rejected.answerable, list(rejected.rejected), rejected.is_asked) == (None, ["Because."], True)

    def test_csv_says_the_same(self, write: Write) -> None:
        folder = write(
            documents__guide_dot_txt="x",
            questions_dot_csv='question,answer,file,page,quote\n"How many, then?",nine,guide.txt,2,\nWho pays?,,,,\n',
        )
        many, refused = read_question_folder(folder).questions
        assert (many.text, many.evidence[0].page, many.answerable) == ("How many, then?", 2, True)
        assert refused.answerable is False

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"answer": "x"}, "'question' is missing or empty"),
            ({"question": "x"}, "give 'answer' or 'file'"),
            ({"question": "x", "answer": "y", "quote": "z"}, "'quote' and 'page' need 'file'"),
            ({"question": "x", "file": "gone.txt"}, "there is no file named gone.txt"),
            ({"question": "x", "file": "guide.txt", "page": "two"}, "'page' must be a whole number from 1"),
            ({"question": "x", "file": "guide.txt", "page": 0}, "'page' must be a whole number from 1"),
            ({"question": "x", "file": "guide.txt", "page": True}, "'page' must be a whole number from 1"),
            ({"question": 4, "answer": ""}, "'question' is not a text"),
        ],
    )
    def test_a_fault_is_named_with_its_line(self, write: Write, row: dict[str, Any], message: str) -> None:
        folder = write(documents__guide_dot_txt="x", questions_dot_jsonl=[{"question": "first", "answer": ""}, row])
        with pytest.raises(DatasetError, match=rf"questions\.jsonl, line 2: .*{message}"):
            read_question_folder(folder)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({}, "it must have corpus.jsonl"),
            ({"questions_dot_jsonl": [], "questions_dot_csv": ""}, "it must have corpus.jsonl"),
            ({"questions_dot_csv": "file\nx"}, "'question' is missing"),
            ({"questions_dot_csv": 'question\n"x'}, "it is not CSV"),
            ({"questions_dot_jsonl": []}, "There is no question"),
            ({"questions_dot_jsonl": [{"id": "1", "question": each, "answer": ""} for each in "xy"]}, "the same 'id'"),
            (
                {"questions_dot_jsonl": [{"question": "x", "answer": each} for each in ("", "y")]},
                "refused on one line and answered on another",
            ),
        ],
    )
    def test_a_folder_that_cannot_be_used_says_why(self, write: Write, files: dict[str, Any], message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            read_question_folder(write(documents__guide_dot_txt="x", **files))

    def test_without_documents_it_says_so(self, write: Write) -> None:
        with pytest.raises(DatasetError, match="there is no such folder"):
            read_question_folder(write(questions_dot_jsonl=[{"question": "x", "answer": ""}]))


class TestDataset:
    def made(self) -> Dataset:
        ids = [f"{article:02}-{part}" for article in range(20) for part in range(3)]
        documents = {name: Document(name, f"{name}.md", name.encode()) for name in ids}
        questions = [Question(name, f"what of {name}", {name: 1}, answerable=True) for name in ids]
        both = Question("both", "?", dict.fromkeys(ids, 1), answerable=True)
        return Dataset("made", documents, [*questions, both, Question("searched", "?", {"00-0": 1})])

    def test_what_is_left_out_must_be_refused(self) -> None:
        made = self.made()
        half = made.without_share(0.5, "-")
        assert len(half.documents) == 30
        articles = {name.split("-")[0] for name in half.documents}
        assert len(articles) == 10, "whole articles are left out"
        asked = {question.id: question for question in half.questions}
        assert "both" not in asked, "a part of its evidence is gone"
        for name in made.documents:
            assert asked[name].answerable is (name in half.documents)
            assert bool(asked[name].relevant) is (name in half.documents)
        assert ("searched" in asked) is ("00-0" in half.documents)
        assert half.documents == made.without_share(0.5, "-").documents, "the same ones each time"

    def test_the_hash_sees_every_name_and_byte(self) -> None:
        made = self.made()
        (first, *_), others = made.documents.values(), dict(made.documents)
        renamed = Dataset("made", others | {first.id: Document(first.id, "other.md", first.read())}, made.questions)
        changed = Dataset("made", others | {first.id: Document(first.id, first.filename, b"other")}, made.questions)
        assert len({each.digest for each in (made, renamed, changed)}) == 3
        assert made.digest == Dataset("other", dict(reversed(others.items())), []).digest

    def test_fewer_questions_are_spread_evenly(self) -> None:
        assert [each.id for each in self.made().limited(3).questions] == ["00-0", "07-0", "14-0"]
        assert len(self.made().limited(1000).questions) == 62
