"""Selects the sentences that answer a question, or none where the evidence is weak.

Every constant was chosen on xquad (1,190 questions, asked once with their article in the index and once without) and
checked on financebench; `bench/retrieval.py` prints the figures again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.local.lexical import inverse_document_frequency
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.sentences import ENDS_SENTENCE, LONGEST

# Sentences the embedder reads for one question. Of 25 to 40 in the passages, the best was never below the eighth by
# words and rank, and each costs about 20 ms.
SHORTLIST = 10
QUOTES = 3
# A further quote is worth its place when it is nearly as good as the first: at 0.85 answers held the gold span in 91 %
# of cases with 1.5 quotes on average, the first alone in 81 %, and 94 % of quotes stood in the right paragraph.
WORTH_QUOTING = 0.85
# Two quotes with more of their terms in common say the same.
SAME_WORDS = 0.7

# Chunks that are supposed to exist beside the project's own when terms are weighed for coverage. Without them a term
# that stands in the only chunk weighs a tenth of one that does not, and no threshold fits small and large projects.
PRIOR_CHUNKS = 100
# With similarity: 3 % of answerable questions refused, 97 % of those whose article is missing (83 % of those of which
# only the paragraph is missing, while the article still speaks of the same things).
ENOUGH_EVIDENCE = 0.88
# A paraphrase shares no word with its question; similarity alone is trusted from here, where 0.5 % of the sentences
# offered to unanswerable questions stand.
SAME_MEANING = 0.62
# Words alone tell less: 5 % of answerable questions refused, 90 % of unanswerable ones.
ENOUGH_COVERAGE = 0.4
# And when most of what is asked for stands nowhere in the project, two common words prove nothing.
MOST_UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence that may answer, with the shares of the question that its words and its passage's words cover."""

    passage: Passage
    char_start: int
    char_end: int
    terms: frozenset[str]
    coverage: float
    passage_coverage: float
    similarity: float | None = None

    @property
    def text(self) -> str:
        return self.passage.between(self.char_start, self.char_end)

    @property
    def strength(self) -> float:
        """Return the strength relative to what is enough: from 1 on a question counts as answered."""
        if self.similarity is None:
            return (self.coverage + self.passage_coverage) / 2 / ENOUGH_COVERAGE
        mixed = self.similarity + (self.coverage + self.passage_coverage) / 2
        return max(mixed / ENOUGH_EVIDENCE, self.similarity / SAME_MEANING)


class QuestionTerms:
    """The terms of a question, each weighed by its IDF in the project."""

    def __init__(self, frequencies: Mapping[str, int], chunk_count: int) -> None:
        self._weights = {
            term: inverse_document_frequency(chunk_count + PRIOR_CHUNKS, frequency)
            for term, frequency in frequencies.items()
        }
        self._total = sum(self._weights.values())
        missing = sum(self._weights[term] for term, frequency in frequencies.items() if frequency == 0)
        self.unknown_share = missing / self._total if self._total else 1.0

    def only_names_subject(self, words: str, terms: frozenset[str]) -> bool:
        """Return whether the words are a heading, which repeats terms of the question and says nothing about them."""
        return terms < self._weights.keys() and ENDS_SENTENCE.search(words) is None

    def coverage(self, terms: frozenset[str]) -> float:
        """Return the share of the question's weight that these terms carry, between 0 and 1."""
        covered = sum(weight for term, weight in self._weights.items() if term in terms)
        return covered / self._total if self._total else 0.0


def shortlist(passages: Sequence[Passage], question: QuestionTerms) -> list[Evidence]:
    """Return the sentences with the best words and rank, best first. One that stands in two passages counts once."""
    found: dict[tuple[UUID, int, int], Evidence] = {}
    for passage in passages:
        passage_coverage = question.coverage(frozenset(analyze(passage.text)))
        for start, end in passage.sentences():
            words = passage.between(start, end)
            terms = frozenset(analyze(words))
            if question.only_names_subject(words, terms):
                continue
            evidence = Evidence(passage, start, end, terms, question.coverage(terms), passage_coverage)
            found.setdefault((passage.document_id, start, end), evidence)
    return sorted(found.values(), key=_promise, reverse=True)[:SHORTLIST]


def select_quotes(evidence: Sequence[Evidence], question: QuestionTerms) -> list[Quote]:
    """Return one to three quotes, best first, or none when the evidence is weak."""
    ranked = sorted(evidence, key=lambda sentence: sentence.strength, reverse=True)
    if not ranked or ranked[0].strength < 1:
        return []
    if ranked[0].similarity is None and question.unknown_share > MOST_UNKNOWN:
        return []
    chosen: list[Evidence] = []
    for sentence in ranked:
        if len(chosen) == QUOTES or sentence.strength < max(1.0, WORTH_QUOTING * ranked[0].strength):
            break
        if not any(_says_the_same(sentence, other) for other in chosen):
            chosen.append(sentence)
    return [each.passage.quote(each.char_start, each.char_end) for each in _merge_neighbours(chosen)]


def _promise(sentence: Evidence) -> float:
    return sentence.coverage + sentence.passage_coverage / 2 + 0.3 * sentence.passage.score


def _says_the_same(one: Evidence, other: Evidence) -> bool:
    overlapping = one.char_start < other.char_end and other.char_start < one.char_end
    if overlapping and one.passage.document_id == other.passage.document_id:
        return True
    union = one.terms | other.terms
    return len(one.terms & other.terms) > SAME_WORDS * len(union)


def _merge_neighbours(chosen: Sequence[Evidence]) -> list[Evidence]:
    """Join sentences that have only blanks between them; they take the place of the better one."""
    merged: list[Evidence] = []
    for sentence in chosen:
        for position, other in enumerate(merged):
            if joined := _joined(other, sentence):
                merged[position] = joined
                break
        else:
            merged.append(sentence)
    # a third one may have closed the gap between two
    return _merge_neighbours(merged) if len(merged) < len(chosen) else merged


def _joined(one: Evidence, other: Evidence) -> Evidence | None:
    if one.passage.document_id != other.passage.document_id:
        return None
    first, last = sorted((one, other), key=lambda sentence: sentence.char_start)
    window_end = one.passage.window_start + len(one.passage.window)
    if first.char_start < one.passage.window_start or last.char_end > window_end:
        return None
    gap = one.passage.between(first.char_end, last.char_start)
    if gap.strip() or "\n\n" in gap or last.char_end - first.char_start > LONGEST:
        return None
    return replace(one, char_start=first.char_start, char_end=last.char_end)
