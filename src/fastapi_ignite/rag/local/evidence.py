"""Selects the sentences and rows that answer a question, or none where the evidence is weak.

Every constant was chosen on xquad (1,190 questions, asked once with their article in the index and once without) and
checked on financebench; `cli.py eval --leave-out` measures refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.answers.pieces import Piece, pieces_of, said_of_row
from fastapi_ignite.rag.extraction import SpanKind
from fastapi_ignite.rag.local.lexical import inverse_document_frequency
from fastapi_ignite.rag.local.synonyms import synonyms_of
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.answer_kinds import (
    AnswerKind,
    asked_kind,
    has_figure,
    holds_kind,
    relation_terms,
)
from fastapi_ignite.rag.text.facts import code_terms, item_number_removed, names_another, numbers_in, specific_terms
from fastapi_ignite.rag.text.negation import has_exception, negated_terms, selects
from fastapi_ignite.rag.text.sentences import LONGEST

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
# With similarity: 4 % of answerable questions refused, 98 % of those whose article is missing (86 % of those of which
# only the paragraph is missing, while the article still speaks of the same things).
ENOUGH_EVIDENCE = 0.835
# A paraphrase shares no word with its question; similarity alone is trusted from here, where 0.5 % of the sentences
# offered to unanswerable questions stand.
SAME_MEANING = 0.62
# Words alone tell less: 7 % of answerable questions refused, 95 % of unanswerable ones.
ENOUGH_COVERAGE = 0.39
# And when most of what is asked for stands nowhere in the project, two common words prove nothing.
MOST_UNKNOWN = 0.5
# A synonym counts nearly as much as the word itself.
SYNONYM_WEIGHT = 0.8
# What only the headings above a piece say counts half.
CONTEXT_WEIGHT = 0.5
LEADING_CONTEXT = 1.0
# Headings that name this share of what is asked for are about it: what stands below them is the answer.
NAMED_BY_HEADINGS = 0.8
# A question with two parts is answered by two pieces, of which the second covers this share of it and the first not.
ANOTHER_PART = 0.3
# How much the strength falls when all of a question is numbers and names that the passage lacks, that no passage of the
# project holds, and that a row of a table lacks, whose neighbours are about others.
MISSING_SPECIFICS = 0.25
UNKNOWN_SPECIFICS = 0.5
MISSING_IN_ROW = 0.8
# The nearest words above a piece that are compared with the question together with it.
READ_CONTEXT = 2
# What tells nobody is no answer to "Who ...?", and so on. "How much ...?" may be answered in words of any kind.
LACKING_KIND = 0.3
LACKING_AMOUNT = 0.85
# How much the strength falls when all of a question is a role or a verb that neither a piece nor its headings name.
UNSAID_RELATION = 0.5
# What tells of hall 4 hardly answers what is asked of hall 5.
TELLS_OF_ANOTHER = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """A piece of a passage that may answer, with the shares of the question that it and its passage cover.

    `missing` is the share of the question that its numbers and names take which neither holds; a row of a table must
    hold them itself. `unsaid` is the share of what is asked of the subject, which the piece itself must name. `lack` is
    the kind of answer that the question asks for and the piece does not hold.
    """

    piece: Piece
    terms: frozenset[str]
    context: frozenset[str]
    coverage: float
    passage_coverage: float
    missing: float = 0.0
    unsaid: float = 0.0
    lack: AnswerKind | None = None
    tells_of_another: bool = False
    similarity: float | None = None

    @property
    def passage(self) -> Passage:
        return self.piece.passage

    @property
    def reading(self) -> str:
        """Return what is compared with the question: the piece below the nearest words that it stands below."""
        context = self.piece.context[-READ_CONTEXT:]
        return ": ".join(context if self.piece.leads else [*context, self.piece.said])

    @property
    def strength(self) -> float:
        """Return the strength relative to what is enough: from 1 on a question counts as answered."""
        if self.similarity is None:
            strength = (self.coverage + self.passage_coverage) / 2 / ENOUGH_COVERAGE
        else:
            mixed = self.similarity + (self.coverage + self.passage_coverage) / 2
            strength = max(mixed / ENOUGH_EVIDENCE, self.similarity / SAME_MEANING)
        strength *= 1 - (MISSING_IN_ROW if self.piece.kind is SpanKind.TABLE else MISSING_SPECIFICS) * self.missing
        strength *= TELLS_OF_ANOTHER if self.tells_of_another else 1
        strength *= 1 - UNSAID_RELATION * self.unsaid
        if self.lack is None:
            return strength
        return strength * (LACKING_AMOUNT if self.lack is AnswerKind.AMOUNT else LACKING_KIND)


class QuestionTerms:
    """The terms of a question, each weighed by its IDF in the project.

    `frequencies` has the number of chunks that hold a term; a term that no chunk holds counts by its synonyms.
    """

    def __init__(self, frequencies: Mapping[str, int], chunk_count: int, question: str = "") -> None:
        self._weights = {
            term: inverse_document_frequency(chunk_count + PRIOR_CHUNKS, frequency)
            for term, frequency in frequencies.items()
        }
        self._total = sum(self._weights.values())
        self.text = question
        self._specific = specific_terms(question) & self._weights.keys()
        self._codes = code_terms(question)
        self._relation = (relation_terms(question) & self._weights.keys()) - self._specific
        self._kind = asked_kind(question)
        # what has the price: "price" and its synonyms stand beside every other price too
        self._priced = frozenset(term for term in self._weights if not {term, *synonyms_of(term)} & {"price", "cost"})
        self._named = frozenset(self._weights).union(*map(synonyms_of, self._weights))
        self._unknown = {term for term, frequency in frequencies.items() if frequency == 0}
        self._negated = negated_terms(question) & self._weights.keys()
        self._selects = selects(question)
        missing = sum(self._weights[term] for term, frequency in frequencies.items() if frequency == 0)
        self.unknown_share = missing / self._total if self._total else 1.0

    @property
    def terms(self) -> frozenset[str]:
        return frozenset(self._weights)

    def coverage(self, terms: frozenset[str]) -> float:
        """Return the share of the question's weight that these terms carry, between 0 and 1."""
        if not self._total:
            return 0.0
        covered = 0.0
        for term, weight in self._weights.items():
            if term in terms:
                covered += weight
            elif not terms.isdisjoint(synonyms_of(term)):
                covered += SYNONYM_WEIGHT * weight
        return covered / self._total

    def missing(self, terms: frozenset[str]) -> float:
        """Return the share of the question's weight that its numbers and names carry which these terms lack."""
        parts = (code for whole, code in self._codes.items() if whole not in terms)
        lacking = (self._specific - terms).union(*parts) & self._weights.keys()
        weight = sum(
            self._weights[term] * (UNKNOWN_SPECIFICS / MISSING_SPECIFICS if term in self._unknown else 1)
            for term in lacking
        )
        return weight / self._total if self._total else 0.0

    def unsaid(self, terms: frozenset[str]) -> float:
        """Return the share of the question's weight that the asked relation carries which these terms do not name."""
        unsaid = (term for term in self._relation - terms if terms.isdisjoint(synonyms_of(term)))
        return sum(self._weights[term] for term in unsaid) / self._total if self._total else 0.0

    def lack_of(self, piece: Piece, terms: frozenset[str]) -> AnswerKind | None:
        """Return the kind of answer that the question asks for, if the piece holds none."""
        kind, is_row = self._kind, piece.kind is SpanKind.TABLE
        if kind is None or self._is_asked_above(piece):
            return None
        if kind is AnswerKind.MONEY:
            if self._priced.isdisjoint(terms):
                return kind
            # "How much is a double room in the high season?": the column tells what its number is
            if any(has_figure(words) and self._named & {*analyze(name)} for name, words in piece.cells):
                return None
        held = holds_kind(kind, self.text, self._named, piece.said, "\n".join(piece.context), is_row=is_row)
        return None if held else kind

    def _is_asked_above(self, piece: Piece) -> bool:
        """Return whether the piece stands below the question itself, as in a list of questions and answers."""
        return any(
            above.rstrip().endswith("?") and self.coverage(frozenset(analyze(above))) >= NAMED_BY_HEADINGS
            for above in piece.context
        )

    def is_other_case(self, terms: frozenset[str], best: frozenset[str]) -> bool:
        """Return whether terms say of another number or name what the best piece says of the one that is asked for."""
        asked, told = best & self._weights.keys(), terms & self._weights.keys()
        return bool(told) and told < asked and asked - told <= self._specific

    def holds_less(self, terms: frozenset[str], best: frozenset[str]) -> bool:
        """Return whether terms have some of the question's terms that the best piece has, and none beside them."""
        return terms & self._weights.keys() < best & self._weights.keys()

    def is_contradicted(self, terms: frozenset[str], negated: frozenset[str]) -> bool:
        """Return whether text with these terms affirms what the question denies, or denies what it asks for.

        "Are seals covered?" may be answered with a denial, but not "Which parts are covered?"; "Which parts are not
        covered?" is answered with a denial only.
        """
        if self._negated:
            return not self._negated & negated and (self._selects or bool(self._negated & terms))
        return self._selects and bool(self._weights.keys() & negated)


def shortlist(passages: Sequence[Passage], question: QuestionTerms) -> list[Evidence]:
    """Return the pieces with the best words and rank, best first. One that stands in two passages counts once."""
    found: dict[tuple[UUID, int, int], Evidence] = {}
    for passage in passages:
        of_passage = frozenset(analyze(passage.text))
        for piece in pieces_of(passage):
            evidence = _evidence(piece, of_passage, question)
            if evidence is not None:
                key = passage.document_id, piece.start, piece.end
                if key not in found or piece.leads:
                    found[key] = evidence
    return sorted(found.values(), key=_promise, reverse=True)[:SHORTLIST]


def select_quotes(evidence: Sequence[Evidence], question: QuestionTerms) -> list[Quote]:
    """Return one to three quotes, best first, or none when the evidence is weak."""
    ranked = sorted(evidence, key=lambda each: each.strength, reverse=True)
    if not ranked or ranked[0].strength < 1:
        return []
    if ranked[0].similarity is None and question.unknown_share > MOST_UNKNOWN:
        return []
    chosen: list[Evidence] = []
    for candidate in ranked:
        if len(chosen) == QUOTES or candidate.strength < 1:
            break
        is_as_good = candidate.strength >= WORTH_QUOTING * ranked[0].strength
        if _is_other_case(candidate, ranked[0], question):
            continue
        if (is_as_good or _adds(candidate, chosen, question)) and not any(
            _says_the_same(candidate, other) for other in chosen
        ):
            chosen.append(candidate)
    return [_quote(each, question) for each in _merge_neighbours(chosen)]


def _evidence(piece: Piece, of_passage: frozenset[str], question: QuestionTerms) -> Evidence | None:
    """Return the piece as evidence, or None where it says nothing, or the opposite of what is asked for."""
    terms = frozenset(analyze(piece.said))
    if piece.is_question or piece.introduces or piece.is_title:
        return None
    if piece.kind is SpanKind.HEADING and not piece.holds_statement:
        return None
    if not piece.holds_statement and question.terms.issuperset(analyze(item_number_removed(piece.said))):
        return None
    if question.is_contradicted(terms, piece.negated) and not has_exception(piece.said):
        return None
    context = frozenset(term for words in piece.context for term in analyze(words))
    own, below = question.coverage(terms), question.coverage(terms | context)
    if piece.leads and not piece.answers_question and question.coverage(context) < NAMED_BY_HEADINGS:
        return None
    around = of_passage | terms | context
    return Evidence(
        piece,
        terms,
        context,
        coverage=own + (LEADING_CONTEXT if piece.leads else CONTEXT_WEIGHT) * (below - own),
        passage_coverage=question.coverage(around),
        missing=question.missing(terms | context if piece.kind is SpanKind.TABLE else around),
        unsaid=question.unsaid(terms | context),
        lack=question.lack_of(piece, terms | context),
        tells_of_another=names_another(question.text, " ".join((*piece.context, piece.said))),
    )


def _promise(evidence: Evidence) -> float:
    return evidence.coverage + evidence.passage_coverage / 2 + 0.3 * evidence.passage.score


def _adds(candidate: Evidence, chosen: Sequence[Evidence], question: QuestionTerms) -> bool:
    """Return whether it tells of a part of the question of which the chosen ones tell nothing."""
    told = frozenset(term for each in chosen for term in each.terms)
    return question.coverage(told | candidate.terms) - question.coverage(told) >= ANOTHER_PART


def _is_other_case(candidate: Evidence, best: Evidence, question: QuestionTerms) -> bool:
    """Return whether it says of another month or model what the best piece says of the one that is asked for.

    Another row of the table does where it holds less of the question, and another paragraph where it lacks the numbers
    and names, which may stand in the headings above it.
    """
    if candidate.piece.kind is best.piece.kind is SpanKind.TABLE:
        return _share_table(candidate.piece, best.piece) and question.holds_less(candidate.terms, best.terms)
    return not _share_paragraph(candidate.piece, best.piece) and (
        question.is_other_case(candidate.terms, best.terms)
        or question.is_other_case(candidate.terms | candidate.context, best.terms | best.context)
    )


def _share_table(one: Piece, other: Piece) -> bool:
    """Return whether two rows have the same columns, since a table may reach over several passages."""
    return one.passage.document_id == other.passage.document_id and (
        one.passage.column_names(one.start) == other.passage.column_names(other.start)
    )


def _share_paragraph(one: Piece, other: Piece) -> bool:
    if one.passage.document_id != other.passage.document_id or SpanKind.TABLE in {one.kind, other.kind}:
        return False
    passage, (first, last) = one.passage, sorted((one, other), key=lambda piece: piece.start)
    if first.end < passage.window_start or last.start > passage.window_start + len(passage.window):
        return False
    return "\n\n" not in passage.between(first.end, last.start)


def _says_the_same(one: Evidence, other: Evidence) -> bool:
    overlapping = one.piece.start < other.piece.end and other.piece.start < one.piece.end
    if overlapping and one.passage.document_id == other.passage.document_id:
        return True
    if SpanKind.TABLE in {one.piece.kind, other.piece.kind}:
        return one.terms == other.terms
    if numbers_in(one.piece.text) != numbers_in(other.piece.text):
        return False
    union = one.terms | other.terms
    return len(one.terms & other.terms) > SAME_WORDS * len(union)


def _quote(evidence: Evidence, question: QuestionTerms) -> Quote:
    piece = evidence.piece
    said = said_of_row(piece, question.terms) if piece.kind is SpanKind.TABLE else ""
    start = piece.start if piece.quoted_from is None else piece.quoted_from
    return piece.passage.quote(start, piece.end, said=said)


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
    passage, (first, last) = one.passage, sorted((one.piece, other.piece), key=lambda piece: piece.start)
    if passage.document_id != other.passage.document_id or not {first.kind, last.kind} <= {None, SpanKind.LIST_ITEM}:
        return None
    window_end = passage.window_start + len(passage.window)
    if first.start < passage.window_start or last.end > window_end:
        return None
    gap = passage.between(first.end, last.start)
    if gap.strip() or "\n\n" in gap or last.end - first.start > LONGEST:
        return None
    said = passage.between(first.start, last.end)
    joined = replace(one.piece, start=first.start, end=last.end, said=said, quoted_from=first.quoted_from)
    return replace(one, piece=joined)
