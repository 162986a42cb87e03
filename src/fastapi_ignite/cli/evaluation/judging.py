"""Judges what came back for one question against what is known of its answer."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi_ignite.cli.evaluation.datasets import Evidence, Question

# Results in which a place of the evidence must stand to count as found.
SPAN_DEPTH = 10
# A passage holds a long quote if they share so much of the shorter one's words: a table may be read in another order.
SHARED_WORDS = 0.8
LONG_QUOTE_WORDS = 8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage or a citation: the document that it stands in, its page and its words."""

    document_id: str | None
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, or a refusal. `verbatim` says of each citation whether the stored text has it at its offsets."""

    text: str
    refused: bool
    citations: Sequence[Passage] = ()
    verbatim: Sequence[bool] = ()


@dataclass(slots=True)
class Observation:
    """What was seen for one question. `ranking` has distinct documents, the best first. Times are milliseconds."""

    ranking: Sequence[str]
    passages: Sequence[Passage]
    search_ms: float
    answered: Answered | None = None
    ask_ms: float | None = None
    measures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "measures": {name: round(value, 6) for name, value in sorted(self.measures.items())},
            "search_ms": round(self.search_ms, 2),
            "ask_ms": None if self.ask_ms is None else round(self.ask_ms, 2),
            "refused": None if self.answered is None else self.answered.refused,
            "answer": None if self.answered is None else self.answered.text,
            "ranking": list(self.ranking[:SPAN_DEPTH]),
        }


def judge_places(question: Question, observed: Observation) -> dict[str, float]:
    """Return whether a quote and a page of the evidence stand among the first results. Both can be unknown."""
    places = observed.passages[:SPAN_DEPTH]
    found = {
        f"span hit@{SPAN_DEPTH}": _span_hit(places, question.evidence),
        f"page hit@{SPAN_DEPTH}": _page_hit(places, question.evidence),
    }
    return {name: value for name, value in found.items() if value is not None}


def judge_answer(question: Question, answered: Answered) -> dict[str, float]:
    """Return what can be said of the answer. A refused question that has an answer counts as a miss everywhere.

    `refusal precision` is only there for a refusal, and `refusal recall` only for a question that must be refused.
    """
    must_be_refused = question.answerable is False
    judged: dict[str, float] = {}
    if question.rejected:
        text = _normal(answered.text)
        judged["rejected repeated"] = float(any(_normal(each) == text for each in question.rejected))
    if question.answerable is None:
        return judged
    if answered.refused:
        judged["refusal precision"] = float(must_be_refused)
    if must_be_refused:
        return judged | {"refusal recall": float(answered.refused)}
    judged["answerable refused"] = float(answered.refused)
    if question.answers:
        text = _normal(answered.text)
        judged["answer contains"] = float(
            not answered.refused and any(_normal(each) in text for each in question.answers)
        )
    cited = {
        "cited span": _span_hit(answered.citations, question.evidence),
        "cited page": _page_hit(answered.citations, question.evidence),
    }
    judged |= {name: value for name, value in cited.items() if value is not None}
    if answered.citations:
        if question.relevant:
            right = [citation.document_id in question.relevant for citation in answered.citations]
            judged["cited document right"] = sum(right) / len(right)
        judged["citation verbatim"] = sum(answered.verbatim) / len(answered.citations)
    return judged


def _page_hit(places: Sequence[Passage], evidence: Sequence[Evidence]) -> float | None:
    pages = {(proof.document_id, proof.page) for proof in evidence if proof.page is not None}
    return float(any((place.document_id, place.page) in pages for place in places)) if pages else None


def _span_hit(places: Sequence[Passage], evidence: Sequence[Evidence]) -> float | None:
    quotes = [(proof.document_id, proof.quote) for proof in evidence if proof.quote]
    hits = (
        place.document_id == document_id and _holds(place.text, quote)
        for document_id, quote in quotes
        for place in places
    )
    return float(any(hits)) if quotes else None


def _holds(passage: str, quote: str) -> bool:
    """Return whether the quote stands in the passage, the passage in the quote, or a long one nearly so."""
    text, wanted = _normal(passage), _normal(quote)
    if wanted in text or (text and text in wanted):
        return True
    here, there = Counter(_WORD.findall(text)), Counter(_WORD.findall(wanted))
    shorter = min(here.total(), there.total())
    return shorter >= LONG_QUOTE_WORDS and (here & there).total() >= SHARED_WORDS * shorter


def _normal(text: str) -> str:
    """Return the text without differences of case, form and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def ranked_documents(results: Sequence[Mapping[str, Any]], ids: Mapping[str, str]) -> list[str]:
    """Return the documents of these results, each where its best result stands. `ids` is by file name."""
    return list(dict.fromkeys(ids[result["filename"]] for result in results if result["filename"] in ids))
