"""Tests of merging two rankings into one."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.local.fusion import Candidate, fuse

scores = st.integers(0, 400).map(lambda number: number / 10)
cosines = st.integers(-100, 100).map(lambda number: number / 100)
candidates = st.lists(st.tuples(scores, st.one_of(st.none(), cosines)), max_size=30).map(
    lambda rows: [make(number, bm25, cosine) for number, (bm25, cosine) in enumerate(rows)]
)


def make(number: int, bm25: float, cosine: float | None) -> Candidate:
    return Candidate(UUID(int=number), UUID(int=0), bm25, cosine)


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


def test_meaning_outweighs_words_once_all_is_embedded() -> None:
    by_words, by_meaning = make(1, 10.0, 0.1), make(2, 2.0, 0.9)
    assert order([by_words, by_meaning]) == [2, 1]


def test_a_word_of_one_document_brings_it_to_the_top() -> None:
    """The cosine of a name or a number tells nothing, and must not bury the only document that holds it."""
    near = [make(number, 0.0, 0.3 + number / 1000) for number in range(100)]
    assert order([*near, make(100, 7.0, -0.1)])[0] == 100


def test_a_part_that_holds_more_of_the_question_lifts_its_chunk() -> None:
    one, other = make(1, 5.0, None), make(2, 4.0, None)
    assert order([one._replace(part_bm25=2.0), other._replace(part_bm25=6.0)]) == [2, 1]
    assert order([one, other]) == [1, 2]


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
    usual = [make(number, chance.uniform(1, 9), chance.uniform(0.2, 0.8)) for number in range(100)]
    further = [make(1000 + number, 0.0, chance.uniform(-0.5, 0.1)) for number in range(100)]
    deep = fuse(usual + further, scaled_by=100)
    assert [ranked.candidate.chunk_id.int for ranked in deep][:100] == order(usual)
    assert all(0 <= ranked.score <= 1 for ranked in deep)
