"""Tests of merging two rankings into one."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.local.fusion import SCALED_BY, Candidate, fuse

scores = st.integers(0, 400).map(lambda number: number / 10)
cosines = st.integers(-100, 100).map(lambda number: number / 100)
candidates = st.lists(st.tuples(scores, st.one_of(st.none(), cosines)), max_size=30).map(
    lambda rows: [make(number, bm25, cosine) for number, (bm25, cosine) in enumerate(rows)]
)


def make(number: int, bm25: float, cosine: float | None, document: int | None = None) -> Candidate:
    """Make a chunk, in a document of its own if none is given."""
    return Candidate(UUID(int=number), UUID(int=number if document is None else document), bm25, cosine)


def order(found: list[Candidate]) -> list[int]:
    return [ranked.candidate.chunk_id.int for ranked in fuse(found)]


@given(candidates)
def test_every_candidate_is_ranked_once_best_first_between_0_and_1(found: list[Candidate]) -> None:
    ranked = fuse(found)
    assert sorted(each.candidate.chunk_id for each in ranked) == [each.chunk_id for each in found]
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
    assert all(0 <= each.score <= 1 for each in ranked)


@given(candidates, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(found: list[Candidate], chance: random.Random) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert fuse(shuffled) == fuse(found)


@given(candidates)
def test_who_is_better_in_both_is_not_below(found: list[Candidate]) -> None:
    score = {ranked.candidate.chunk_id: ranked.score for ranked in fuse(found)}
    for one in found:
        for other in found:
            if one.cosine is None or other.cosine is None:
                continue
            if one.bm25 >= other.bm25 and one.cosine >= other.cosine:
                assert score[one.chunk_id] >= score[other.chunk_id] - 1e-12


@given(candidates)
def test_without_embeddings_words_decide_alone(found: list[Candidate]) -> None:
    words_only = [Candidate(each.chunk_id, each.document_id, each.bm25, None) for each in found]
    assert order(words_only) == [
        each.chunk_id.int for each in sorted(words_only, key=lambda each: (-each.bm25, each.chunk_id))
    ]


@given(candidates, st.sampled_from([0.5, 2.0, 8.0]))
def test_the_scale_of_the_words_does_not_matter(found: list[Candidate], factor: float) -> None:
    scaled = [Candidate(each.chunk_id, each.document_id, each.bm25 * factor, each.cosine) for each in found]
    assert order(scaled) == order(found)


def test_a_second_passage_that_speaks_for_its_document_lifts_the_first() -> None:
    """Two passages of one document fit nearly as well as the only one of another, which is a little better."""
    alone, first, second = make(1, 5.1, 0.51), make(2, 5.0, 0.5, document=7), make(3, 4.9, 0.49, document=7)
    others = [make(number, 1.0, 0.1) for number in range(10, 20)]
    assert order([alone, first, second, *others])[:3] == [2, 1, 3]
    apart = make(3, 4.9, 0.49)
    assert order([alone, first, apart, *others])[:3] == [1, 2, 3], "of another document it lifts nothing"
    poor = make(3, 0.5, 0.05, document=7)
    assert order([alone, first, poor, *others])[:2] == [1, 2], "nor does one that is worse than the average"


def test_a_second_passage_counts_nothing_where_nothing_is_embedded() -> None:
    assert order([make(1, 5.1, None), make(2, 5.0, None, document=7), make(3, 4.9, None, document=7)]) == [1, 2, 3]


def test_meaning_outweighs_words_once_all_is_embedded() -> None:
    by_words, by_meaning = make(1, 10.0, 0.1), make(2, 2.0, 0.9)
    assert order([by_words, by_meaning]) == [2, 1]


def test_the_first_few_embedded_chunks_do_not_climb_over_better_ones() -> None:
    waiting = [make(number, 10.0 - number, None) for number in range(9)]
    assert order([*waiting, make(99, 1.0, 0.2)])[-1] == 99


def test_a_chunk_that_waits_for_its_embedding_is_not_sunk() -> None:
    assert order([make(1, 10.0, None), make(2, 1.0, 0.6), make(3, 0.9, 0.3)])[0] == 1


def test_ties_fall_to_the_older_chunk() -> None:
    assert order([make(3, 1.0, 0.5), make(1, 1.0, 0.5), make(2, 1.0, 0.5)]) == [1, 2, 3]


@pytest.mark.parametrize("found", [[], [make(1, 0.0, None)], [make(1, 0.0, 0.3)]])
def test_few_candidates(found: list[Candidate]) -> None:
    assert len(fuse(found)) == len(found)


def test_more_candidates_do_not_change_the_order_of_the_first_ones() -> None:
    """Deeper searches bring chunks that neither words nor meaning speak for, whose cosines are far below the others."""
    chance = random.Random(3)
    best = [make(number, chance.uniform(1, 9), chance.uniform(0.2, 0.8)) for number in range(SCALED_BY)]
    deeper = [make(1000 + number, 0.0, chance.uniform(-0.5, 0.1)) for number in range(SCALED_BY)]
    assert order(best + deeper)[:SCALED_BY] == order(best)
    assert all(0 <= ranked.score <= 1 for ranked in fuse(best + deeper))


def test_an_exact_rare_word_is_not_lost_among_what_means_nearly_the_same() -> None:
    """One chunk alone holds the asked word, and a hundred others are nearer in meaning."""
    chance = random.Random(4)
    nearer = [make(number, 0.0, chance.uniform(0.3, 0.6)) for number in range(1, 101)]
    assert order([*nearer, make(999, 7.0, 0.2)])[0] == 999
