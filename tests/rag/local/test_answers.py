"""Questions about documents, from the first transaction to the verified quote."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.answers.passage import REFUSAL, Quote
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import Answer, TokenUsage
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.retrieval import Retrieved, Retriever
from support.rag_projects import RagProject, RagProjectFactory

PUMP = (
    "The pump P-200 moves 40 litres of water a minute. Its warranty ends 24 months after delivery. "
    "Wear parts such as seals are not covered by the warranty. The pump must not run dry for more than ten seconds."
)
LEAVE = (
    "Employees receive 25 days of paid vacation each year. Unused days expire at the end of March. "
    "Sick notes are due on the third day of absence. Parental leave is granted for up to fourteen months."
)
OFFICE = (
    "The head office is in Berlin near the central station. A second laboratory was opened in Porto in 2019. "
    "Visitors register at the front desk on the ground floor. The canteen serves lunch between noon and two."
)
UNRELATED = ["Who won the football world cup in 1998?", "What is the boiling point of mercury?", "Is the moon hollow?"]


@pytest.fixture(params=["none", "minilm"])
async def library(request: pytest.FixtureRequest, rag_project: RagProjectFactory) -> tuple[RagProject, dict[UUID, str]]:
    """Make a project with three documents, with and without embeddings."""
    project = await rag_project(embedder=request.param)
    documents = {await project.add(body): body for body in (PUMP, LEAVE, OFFICE)}
    await project.backfill_embeddings()
    return project, documents


def assert_proven(answer: Answer, documents: dict[UUID, str]) -> None:
    assert answer.answerable == bool(answer.citations)
    for citation in answer.citations:
        assert documents[citation.document_id][citation.char_start : citation.char_end] == citation.quote
        assert 0 <= citation.score <= 1


class TestAnswers:
    @pytest.mark.parametrize(
        ("question", "gold"),
        [
            ("When does the warranty end after delivery?", "Its warranty ends 24 months after delivery."),
            ("How many days of paid vacation do employees receive?", LEAVE[: LEAVE.index(" Unused")]),
            ("When was the laboratory in Porto opened?", "A second laboratory was opened in Porto in 2019."),
            ("Are seals covered?", "Wear parts such as seals are not covered by the warranty."),
        ],
    )
    async def test_the_gold_sentence_is_quoted_and_proven(
        self, library: tuple[RagProject, dict[UUID, str]], question: str, gold: str
    ) -> None:
        project, documents = library
        usage = TokenUsage()
        answer = await project.ask(question, usage)
        assert_proven(answer, documents)
        assert gold in answer.citations[0].quote
        assert answer.text == "\n\n".join(citation.quote for citation in answer.citations)
        assert usage.tokens_in > usage.tokens_out > 0

    @pytest.mark.parametrize("question", UNRELATED)
    async def test_what_the_documents_do_not_hold_is_refused(
        self, library: tuple[RagProject, dict[UUID, str]], question: str
    ) -> None:
        project, _ = library
        usage = TokenUsage()
        answer = await project.ask(question, usage)
        assert (answer.answerable, answer.citations, answer.text) == (False, (), REFUSAL)
        assert usage.tokens_in > 0

    @pytest.mark.parametrize("question", ["???", "the of and", "\n", "\U0001f9a6", "' OR 1=1 --", "{}/1048576"])
    async def test_a_question_of_nothing_is_refused(
        self, library: tuple[RagProject, dict[UUID, str]], question: str
    ) -> None:
        project, _ = library
        assert not (await project.ask(question)).answerable

    async def test_an_answer_repeats(self, library: tuple[RagProject, dict[UUID, str]]) -> None:
        project, _ = library
        first = await project.ask("Which months and days are named?")
        assert [await project.ask("Which months and days are named?") for _ in range(3)] == [first] * 3

    async def test_passages_come_best_first(self, library: tuple[RagProject, dict[UUID, str]]) -> None:
        project, documents = library
        found = await Retriever(project.database, Embedders("minilm")).retrieve(
            project.tenant_id, project.project_id, "Does the warranty end in March, or months after delivery?", limit=3
        )
        assert found is not None
        assert [documents[passage.document_id] for passage in found.passages[:2]] == [PUMP, LEAVE]
        scores = [passage.score for passage in found.passages]
        assert scores == sorted(scores, reverse=True)

    async def test_only_meaning_finds_a_paraphrase(self, rag_project: RagProjectFactory) -> None:
        question = "How much vacationing is allowed?"
        for embedder, expected in (("none", []), ("minilm", [LEAVE[: LEAVE.index(" Unused")]])):
            project = await rag_project(embedder=embedder)
            await project.add(LEAVE)
            await project.backfill_embeddings()
            assert await project.quotes(question) == expected

    async def test_a_citation_names_the_page_it_stands_on(self, rag_project: RagProjectFactory) -> None:
        pages = [f"{body}\n\n" for body in (PUMP, LEAVE, OFFICE)]
        starts = (0, len(pages[0]), len(pages[0]) + len(pages[1]))
        project = await rag_project()
        await project.add("".join(pages), starts)
        for question, page in (("warranty delivery", 1), ("sick notes absence", 2), ("laboratory in Porto", 3)):
            assert [citation.page for citation in (await project.ask(question)).citations] == [page]

    async def test_a_word_between_two_names_is_no_way_to_begin(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project(embedder="none")
        await project.add("Smith and Jones repair the roof.")
        for question in ("What do Smith and Jones repair?", "Ok, and what do Smith and Jones repair?"):
            assert await project.quotes(question) == ["Smith and Jones repair the roof."]

    @pytest.mark.parametrize(
        ("text", "answerable", "unanswerable"),
        [
            ("Офис открыт по будням.", "Когда открыт офис?", "Кто директор?"),
            ("\u03a4\u03bf γραφείο ανοίγει στις εννέα.", "Πότε ανοίγει το γραφείο;", "Ποιος είναι διευθυντής;"),
            ("المفتاح عند الحارس.", "أين المفتاح؟", "كم الراتب؟"),
            ("कार्यालय नौ बजे खुलता है।", "कार्यालय कब खुलता है?", "वेतन कितना मिलता है?"),
            ("ลาพักร้อนได้สิบวัน", "ลาพักร้อนได้กี่วัน", "ใครเป็นผู้จัดการ"),
            ("会議室は三階にあります。", "会議室はどこですか", "社長は誰ですか"),
        ],
    )
    async def test_scripts_that_the_model_cannot_read_are_answered_by_their_words(
        self, rag_project: RagProjectFactory, text: str, answerable: str, unanswerable: str
    ) -> None:
        project = await rag_project(embedder="minilm")
        await project.add(text)
        await project.backfill_embeddings()
        assert await project.quotes(answerable) == [text]
        assert await project.quotes(unanswerable) == []

    async def test_offsets_count_code_points(self, rag_project: RagProjectFactory) -> None:
        body = (
            "\U0001f9a6 Zoë: \u201cgrüß Gott\u201d e\u0301. 日本語の文。\n\nThe otter 🦦 Ümit sleeps under the pier.\n"
        )
        project = await rag_project()
        document = await project.add(body)
        answer = await project.ask("Where does the otter Ümit sleep?")
        assert_proven(answer, {document: body})
        assert answer.citations[0].quote == "The otter 🦦 Ümit sleeps under the pier."

    async def test_a_project_with_nothing_in_it_answers_nothing(
        self,
        rag_project: RagProjectFactory,
        make_project: Callable[[], Awaitable[tuple[UUID, UUID]]],
        database: Database,
    ) -> None:
        assert not (await (await rag_project()).ask("When does the warranty end?")).answerable
        tenant_id, project_id = await make_project()
        without_index = RagProject(database, LocalEngine(database, embedder="none"), tenant_id, project_id)
        assert not (await without_index.ask("When does the warranty end?")).answerable


class TestPartlyEmbedded:
    async def test_every_document_answers_whether_embedded_or_not(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project(embedder="minilm")
        first = await project.add(PUMP)
        await project.backfill_embeddings()
        second = await project.add(OFFICE)
        assert await project.embedded() == {first: 1, second: 0}
        assert await project.best("warranty after delivery") == first
        assert await project.best("laboratory in Porto") == second
        assert await project.quotes("When was the laboratory in Porto opened?") == [
            "A second laboratory was opened in Porto in 2019."
        ]
        assert await project.quotes("When does the warranty end after delivery?") == [
            "Its warranty ends 24 months after delivery."
        ]

    async def test_without_an_embedder_everything_counts_as_embedded(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project(embedder="none")
        document = await project.add(PUMP)
        assert await project.embedded() == {document: 1}


class TestProof:
    async def test_only_quotes_that_stand_in_the_text_pass(self, rag_project: RagProjectFactory) -> None:
        project, other = await rag_project(), await rag_project()
        document, foreign = await project.add(PUMP), await other.add(PUMP)
        start = PUMP.index("Its")
        true = Quote(document, "Its warranty", start, start + len("Its warranty"), None, 0.5)
        quotes = [
            replace(true, text="Its guaranty"),
            replace(true, char_start=start + 1),
            replace(true, char_end=true.char_end + 1),
            true,
            replace(true, text="its warranty"),
            replace(true, document_id=foreign),
        ]
        async with project.database.tenant(project.tenant_id) as session:
            assert await DocumentRepository(session, project.tenant_id).prove(quotes) == [true]
        await project.hide(document)
        async with project.database.tenant(project.tenant_id) as session:
            assert await DocumentRepository(session, project.tenant_id).prove([true]) == []

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE documents SET text = replace(text, '24 months', '36 months')",
            "UPDATE documents SET text = 'Preface. ' || text",
            "UPDATE documents SET hidden_at = now()",
            "DELETE FROM documents",
        ],
    )
    async def test_a_quote_that_is_no_longer_true_is_dropped(self, rag_project: RagProjectFactory, change: str) -> None:
        project = await rag_project()
        await project.add(PUMP)
        await project.add(OFFICE)
        project.engine._retriever = InterruptedRetriever(
            project.database, lambda: project.rows(f"{change} WHERE project_id = :project AND text LIKE '%pump%'")
        )
        answer = await project.ask("When does the warranty end after delivery?")
        assert (answer.answerable, answer.citations, answer.text) == (False, (), REFUSAL)
        assert await project.quotes("When was the laboratory in Porto opened?") == [
            "A second laboratory was opened in Porto in 2019."
        ]


class InterruptedRetriever(Retriever):
    """A retriever that runs an event after the search, before the quotes are verified."""

    def __init__(self, database: Database, event: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database, Embedders("minilm"))
        self._event = event

    async def retrieve(self, *question: Any, **wanted: Any) -> Retrieved | None:
        found = await super().retrieve(*question, **wanted)
        await self._event()
        return found
