"""Defines documents, and the questions about them. All formats of data sets are read into these types."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from fastapi_ignite.core.errors import InvalidInputError

LONGEST_QUESTION = 8000  # of the API


class DatasetError(InvalidInputError):
    """A file of the data set is missing or malformed. The detail names the file and the line."""

    title = "Malformed data set"


@dataclass(frozen=True, slots=True)
class Document:
    """A document to upload. `content` is its bytes, or the file that has them."""

    id: str
    filename: str
    content: bytes | Path

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place that proves the answer: in a document, and where known on a page (from 1) and with these words."""

    document_id: str
    page: int | None = None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what is known of its answer.

    `relevant` has the grade of each relevant document. One of `answers` should stand in the answer. `answerable` is
    None where that is not known; then the question is only searched for, unless it has answers that were `rejected`.
    """

    id: str
    text: str
    relevant: Mapping[str, int] = field(default_factory=dict)
    answers: Sequence[str] = ()
    evidence: Sequence[Evidence] = ()
    answerable: bool | None = None
    rejected: Sequence[str] = ()

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST_QUESTION:
            raise DatasetError(f"A question has more than {LONGEST_QUESTION:,} characters: {self.text[:60]!r}…")

    @property
    def is_asked(self) -> bool:
        """Return whether it is to be answered, and not only searched for."""
        return self.answerable is not None or bool(self.rejected)


@dataclass(frozen=True)
class Dataset:
    """Documents by id, and questions about them."""

    name: str
    documents: Mapping[str, Document]
    questions: Sequence[Question]

    @cached_property
    def digest(self) -> str:
        """Return a hash of the documents: of their names and of every byte."""
        digest = hashlib.sha256()
        for document in sorted(self.documents.values(), key=lambda document: document.filename):
            digest.update(hashlib.sha256(document.filename.encode()).digest())
            digest.update(hashlib.sha256(document.read()).digest())
        return digest.hexdigest()

    @property
    def asks(self) -> bool:
        """Return whether any question is to be answered, and not only searched for."""
        return any(question.is_asked for question in self.questions)

    def limited(self, count: int) -> Dataset:
        """Return at most this number of questions, spread evenly over all of them."""
        step = max(1, -(-len(self.questions) // count))
        return replace(self, questions=self.questions[::step])

    def without_share(self, share: float, separator: str | None) -> Dataset:
        """Leave a share of the documents out. A question that only they answer must then be refused.

        Documents whose ids are equal before the last `separator` are left out together. Which ones are left out
        depends on their ids alone. A question whose evidence is partly left out is left out too.
        """

        def group(document_id: str) -> str:
            return document_id.rpartition(separator)[0] or document_id if separator else document_id

        order = sorted(
            {group(each) for each in self.documents}, key=lambda name: hashlib.sha256(name.encode()).digest()
        )
        gone = set(order[: round(len(order) * share)])
        documents = {name: document for name, document in self.documents.items() if group(name) not in gone}
        questions = []
        for question in self.questions:
            here = sum(name in documents for name in question.relevant)
            if here == len(question.relevant):
                questions.append(question)
            elif here == 0 and question.answerable is not None:
                questions.append(Question(question.id, question.text, answerable=False))
        return Dataset(f"{self.name} without {share:g}", documents, questions)
