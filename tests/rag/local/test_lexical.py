"""BM25 as a dot product in PostgreSQL, compared with BM25 as the textbook defines it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.local.lexical import (
    CANDIDATE_BUDGET,
    DIMENSIONS,
    K1,
    dimension,
    document_weights,
    generating_terms,
    inverse_document_frequency,
    lexical_form,
    posting_id,
    question_weights,
    sparsevec_text,
)
from fastapi_ignite.rag.local.search_repository import CANDIDATES
from support.rag_projects import RagProject, RagProjectFactory, gather_all

# these words are no stop words and no question words, and each is its own stem
VOCABULARY = [f"{first}{last}ub" for first in "bdfgklmnprtvz" for last in "aeiou"]


@dataclass(frozen=True)
class Written:
    """The words of a document of one chunk, and the average length that its weights were computed with."""

    words: list[str]
    average_then: float


def textbook_bm25(corpus: dict[UUID, Written], question: list[str]) -> dict[UUID, float]:
    """Return the BM25 score of each document, by Robertson and Zaragoza (2009) with the IDF of Lucene.

    Where the average length has changed since a document was written, its score is corrected as that of a document
    that holds each word once.
    """
    average = sum(len(written.words) for written in corpus.values()) / len(corpus)
    scores = {}
    for name, written in corpus.items():
        score = 0.0
        then, now = (1 - 0.75 + 0.75 * len(written.words) / length for length in (written.average_then, average))
        for term in set(question):
            frequency = written.words.count(term)
            containing = sum(term in other.words for other in corpus.values())
            idf = math.log(1 + (len(corpus) - containing + 0.5) / (containing + 0.5))
            score += idf * frequency * (1.2 + 1) / (frequency + 1.2 * then)
        scores[name] = score * (1 + 1.2 * then) / (1 + 1.2 * now)
    return {name: score for name, score in scores.items() if score > 0}


async def fill(project: RagProject, documents: list[list[str]]) -> dict[UUID, Written]:
    """Add each list of words as a document of one chunk, and return the documents by id."""
    ids = await gather_all(*(project.add(" ".join(words)) for words in documents))
    await project.assert_counts_are_exact(chunks=len(documents))
    averages = dict(await project.rows("SELECT document_id, average_length FROM chunks WHERE project_id = :project"))
    return {name: Written(words, averages[name]) for name, words in zip(ids, documents, strict=True)}


class TestRanking:
    async def test_the_database_ranks_as_the_textbook_does(self, rag_project: RagProjectFactory) -> None:
        chance = random.Random(2009)
        weights = [1 / rank for rank in range(1, len(VOCABULARY) + 1)]
        documents = [chance.choices(VOCABULARY, weights, k=chance.randint(3, 120)) for _ in range(60)]
        project = await rag_project()
        corpus = await fill(project, documents)
        for _ in range(25):
            question = chance.choices(VOCABULARY, k=chance.randint(1, 6))
            expected = textbook_bm25(corpus, question)
            found = {each.document_id: each.bm25 for each in await project.candidates(" ".join(question))}
            assert found == pytest.approx(expected, rel=1e-4)
            ranked = [expected[name] for name in sorted(found, key=found.__getitem__)]
            assert ranked == pytest.approx(sorted(expected.values()), rel=1e-4)

    async def test_repetition_saturates_and_length_dilutes(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        filler = VOCABULARY[10:40]
        once = await project.add(" ".join(["baub", *filler]))
        thrice = await project.add(" ".join(["baub"] * 3 + filler[2:]))
        in_little = await project.add("baub daub")
        found = {each.document_id: each.bm25 for each in await project.candidates("baub")}
        assert found[once] < found[thrice] < 3 * found[once]
        assert found[once] < found[in_little]

    async def test_no_more_chunks_are_scored_than_the_leg_may_offer(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        body = "\n\n".join("baub " + " ".join(VOCABULARY[number % 40 :][:20] * 5) for number in range(CANDIDATES + 30))
        await project.add(body)
        assert (await project.rows("SELECT count(*) FROM chunks WHERE project_id = :project"))[0][0] > CANDIDATES
        assert len(await project.candidates("baub")) == CANDIDATES

    async def test_hidden_documents_are_not_found(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        shown, hidden = await project.add("baub daub"), await project.add("baub faub")
        await project.hide(hidden)
        assert [each.document_id for each in await project.candidates("baub faub")] == [shown]
        await project.purge(hidden)
        assert [each.document_id for each in await project.candidates("baub faub")] == [shown]

    async def test_projects_do_not_see_each_other(self, rag_project: RagProjectFactory) -> None:
        one, other = await rag_project(), await rag_project()
        document = await one.add("baub daub")
        assert [each.document_id for each in await one.candidates("baub")] == [document]
        await other.add("faub")
        assert await other.candidates("baub") == []

    async def test_a_question_as_long_as_one_may_be(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        document = await project.add("".join(chr(0x4E00 + number) for number in range(500)))
        question = "".join(chr(0x4E00 + number) for number in range(8_000))
        assert {each.document_id for each in await project.candidates(question)} == {document}


@pytest.fixture
async def fresh_database(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """Connect with a new server process, because a process counts index scans before it reports them."""
    database = Database(addresses.worker_url, pool_size=1)
    yield database
    await database.close()


class TestIndex:
    async def test_the_search_uses_the_gin_index_under_row_level_security(
        self, rag_project: RagProjectFactory, fresh_database: Database
    ) -> None:
        """The tenant is newer than the last ANALYZE, as most new tenants are."""
        project = await rag_project()
        document = await project.add("baub daub")
        await project.rows(
            """
            INSERT INTO chunks (tenant_id, id, project_id, document_id, ordinal, char_start, char_end, text,
                text_sha256, terms, lexical)
            SELECT tenant_id, gen_random_uuid(), project_id, document_id, number, 0, 1, 'x', '', ARRAY[number], lexical
            FROM chunks, generate_series(1, 5000) AS number WHERE document_id = :document
            """,
            document=document,
        )
        async with fresh_database.tenant(project.tenant_id) as session:
            connection = await session.connection()
            assert (await connection.exec_driver_sql("SELECT current_user")).scalar_one() == "ignite_tenant"
            found = await connection.exec_driver_sql(
                "SELECT * FROM search_lexical($1, $2, $3::text::sparsevec, 100)",
                (project.project_id, [posting_id(project.project_id, "baub")], sparsevec_text({dimension("baub"): 1})),
            )
            assert len(found.all()) == 1
            scans = "SELECT pg_stat_get_xact_numscans($1::text::regclass)"
            used = [
                (await connection.exec_driver_sql(scans, (name,))).scalar_one()
                for name in ("ix_chunks_terms", "ix_chunks_tenant_id_project_id", "pk_chunks", "chunks")
            ]
            assert used == [1, 0, 0, 0]
            fetched = "SELECT pg_stat_get_xact_tuples_fetched('chunks'::regclass)"
            assert (await connection.exec_driver_sql(fetched)).scalar_one() == 1, "of 5001 chunks"

    async def test_the_search_function_gives_nothing_without_a_tenant(self, rag_project: RagProjectFactory) -> None:
        project, other = await rag_project(), await rag_project()
        await project.add("baub daub")
        question = {
            "project": project.project_id,
            "terms": [posting_id(project.project_id, "baub")],
            "vector": sparsevec_text({dimension("baub"): 1}),
        }
        search = "SELECT * FROM search_lexical(:project, :terms, CAST(:vector AS text)::sparsevec, 100)"
        assert len(await project.rows(search, **question)) == 1
        assert await other.rows(search, **question) == []


class TestCandidateBudget:
    frequencies = st.dictionaries(st.integers(-(2**31), 2**31 - 1), st.integers(0, 3_000), max_size=30)

    @given(frequencies, st.integers(1, 5_000))
    def test_the_rarest_come_first_and_stay_within_it(self, frequencies: dict[int, int], budget: int) -> None:
        chosen = generating_terms(frequencies, budget)
        known = sorted(frequencies.values())
        assert [frequencies[term] for term in chosen] == known[: len(chosen)]
        held = [frequencies[term] for term in chosen if frequencies[term]]
        assert bool(held) == any(known)
        spent = sum(held)
        assert spent <= budget or len(held) == 1
        if len(chosen) < len(known):
            assert spent + known[len(chosen)] > budget

    async def test_a_term_that_came_after_it_was_counted_is_found(self, rag_project: RagProjectFactory) -> None:
        """A version of a file may come between the two queries of a search, with words that no other text has."""
        project = await rag_project()
        await project.add("baub")
        new = await project.add("daub")
        await project.rows("UPDATE term_stats SET df = 0 WHERE project_id = :project", project=project.project_id)
        assert new in {each.document_id for each in await project.candidates("daub")}

    async def test_a_frequent_term_brings_no_chunks_but_counts(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        rare, both, frequent = [await project.add(words) for words in ("baub", "baub daub", "daub")]
        await project.rows(
            "UPDATE term_stats SET df = :df WHERE project_id = :project AND term = :term",
            df=CANDIDATE_BUDGET,
            term=posting_id(project.project_id, "daub"),
        )
        found = {each.document_id: each.bm25 for each in await project.candidates("baub daub")}
        assert set(found) == {rare, both}
        assert frequent not in found
        assert found[both] != found[rare]


class TestForms:
    async def test_the_database_computes_the_dot_product_of_what_it_was_given(
        self, rag_project: RagProjectFactory
    ) -> None:
        project = await rag_project()
        chance = random.Random(7)
        for _ in range(20):
            places = chance.sample(range(DIMENSIONS), 60)
            one = {place: chance.uniform(0, 3) for place in places[:40]} | {0: 1e-5, DIMENSIONS - 1: 12.5}
            other = {place: chance.uniform(0, 9) for place in places[20:]} | {0: 1.0, DIMENSIONS - 1: 0.1}
            product = await project.rows(
                "SELECT -(CAST(:one AS text)::sparsevec <#> CAST(:other AS text)::sparsevec)",
                one=sparsevec_text(one),
                other=sparsevec_text(other),
            )
            expected = sum(weight * other.get(place, 0) for place, weight in one.items())
            assert product[0][0] == pytest.approx(expected, rel=1e-4)

    async def test_an_empty_vector_is_one_the_database_reads(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        read = await project.rows("SELECT (CAST(:empty AS text)::sparsevec)::text", empty=sparsevec_text({}))
        assert read == [(f"{{}}/{DIMENSIONS}",)]

    @given(st.dictionaries(st.sampled_from(VOCABULARY), st.integers(1, 50), min_size=1))
    def test_document_weights_grow_with_frequency_and_never_pass_the_bound(self, frequencies: dict[str, int]) -> None:
        weights = document_weights(frequencies, 80)
        for term, frequency in frequencies.items():
            assert 0 < weights[dimension(term)] < K1 + 1
            more = document_weights(frequencies | {term: frequency + 1}, 80)
            assert more[dimension(term)] > weights[dimension(term)]

    def test_the_form_of_a_chunk_counts_every_term_once(self) -> None:
        project_id = new_id()
        form = lexical_form(project_id, Counter(baub=2, daub=1), 80)
        assert list(form.terms) == sorted(posting_id(project_id, term) for term in ("baub", "daub"))
        assert form.weights == document_weights(Counter(baub=2, daub=1), 80)
        assert form.length == 3
        assert lexical_form(project_id, {}, 80).terms == ()

    def test_postings_differ_by_project_and_fit_the_column(self) -> None:
        ids = {posting_id(new_id(), "baub") for _ in range(100)}
        assert len(ids) > 95
        assert all(-(2**31) <= posting < 2**31 for posting in ids)
        assert question_weights({"baub": 2.0}) == {dimension("baub"): 2.0}

    @given(st.integers(0, 10**6), st.integers(0, 10**6))
    def test_idf_is_never_negative_and_falls_with_frequency(self, chunks: int, frequency: int) -> None:
        assert inverse_document_frequency(chunks, frequency) > 0
        assert inverse_document_frequency(chunks, frequency + 1) <= inverse_document_frequency(chunks, frequency)
