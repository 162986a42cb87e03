"""Tests of words that are counted over neighbouring chunks, and of scores that follow the project's own lengths."""

from __future__ import annotations

from uuid import UUID

import pytest

from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.local.engine import PURGE_BATCH
from fastapi_ignite.rag.local.lexical import inverse_document_frequency
from fastapi_ignite.rag.local.parts import PART_CHUNKS, parts_of
from fastapi_ignite.rag.text.chunking import chunk_text
from support.rag_projects import RagProject, RagProjectFactory

FILLER = "It stands in the second hall of the works. " * 18


async def best_by_words(project: RagProject, question: str) -> UUID:
    return max(await project.candidates(question), key=lambda candidate: candidate.by_words).document_id


class TestCounting:
    def test_a_part_holds_the_words_of_its_chunks_and_more_of_its_headings(self) -> None:
        text = "Chiller\n\nThe chiller hums.\n\n" + FILLER
        heading = Span(SpanKind.HEADING, 0, len("Chiller"), 1)
        (part,) = parts_of(text, (heading,), chunk_text(text, None, (heading,)))
        assert part.chunks[0]["chiller"] == 2
        assert part.frequencies["chiller"] == 4

    def test_the_title_of_a_plain_text_is_its_heading(self) -> None:
        text = f"Chiller\n\n{FILLER}\n\n{FILLER}"
        chunks = chunk_text(text, None)
        (part,) = parts_of(text, (), chunks)
        assert [chunk.context for chunk in chunks] == ["", *["Chiller"] * (len(chunks) - 1)]
        assert [each["chiller"] for each in part.chunks] == [1] * len(chunks)
        assert part.frequencies["chiller"] == 3

    def test_a_long_document_has_several(self) -> None:
        text = "\n\n".join([FILLER] * 20)
        chunks = chunk_text(text, None)
        parts = list(parts_of(text, (), chunks))
        assert [part.first for part in parts] == list(range(0, len(chunks), PART_CHUNKS))
        assert sum(len(part.chunks) for part in parts) == len(chunks)

    async def test_the_counts_stay_exact_when_a_long_document_goes_in_several_steps(
        self, rag_project: RagProjectFactory
    ) -> None:
        project = await rag_project()
        kept = await project.add("\n\n".join([FILLER] * 3))
        gone = await project.add("\n\n".join(f"Hall {number}. {FILLER}" for number in range(PURGE_BATCH + 20)))
        await project.assert_counts_are_exact()
        await project.hide(gone)
        assert await project.purge(gone) > PURGE_BATCH
        await project.assert_counts_are_exact()
        assert {each.document_id for each in await project.candidates("second hall")} == {kept}


class TestSearching:
    async def test_a_document_that_holds_all_words_is_above_one_that_repeats_some(
        self, rag_project: RagProjectFactory
    ) -> None:
        """No chunk of the first document holds two words of the question."""
        project = await rag_project()
        whole = await project.add(f"The furnace. {FILLER}\n\nThe conveyor. {FILLER}\n\nThe gearbox. {FILLER}")
        await project.add(f"The furnace and the furnace. {FILLER}\n\n{FILLER}\n\n{FILLER}")
        await project.add(f"The conveyor. {FILLER}\n\n{FILLER}\n\n{FILLER}")
        assert await best_by_words(project, "furnace conveyor gearbox") == whole

    async def test_a_text_about_a_word_is_above_one_that_mentions_it(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        about = await project.add(f"The encoder\n\n{FILLER}")
        await project.add(f"The works\n\n{FILLER} The encoder, too.")
        assert await best_by_words(project, "encoder") == about

    async def test_a_chunk_of_a_version_without_parts_is_still_found(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        old, new = await project.add("The furnace is old."), await project.add("The furnace is new and hot.")
        await project.rows("DELETE FROM document_parts WHERE document_id = :old", old=old)
        await project.rows(
            "UPDATE chunks SET term_count = NULL, average_length = NULL WHERE document_id = :old", old=old
        )
        await project.rows("UPDATE rag_indexes SET part_chunks = part_chunks - 1 WHERE project_id = :project")
        found = {each.document_id: each for each in await project.candidates("furnace")}
        assert set(found) == {old, new}
        assert found[old].by_words == pytest.approx(2 * found[old].bm25)

    async def test_words_are_weighed_by_the_texts_that_hold_them(self, rag_project: RagProjectFactory) -> None:
        """A word that fills one long text is as rare as one that stands in another text once."""
        project = await rag_project()
        await project.add("\n\n".join(f"Furnace. {FILLER}" for _ in range(6)))
        await project.add(f"Gearbox. {FILLER}")
        question = await project.engine._retriever.analyze_question(
            project.tenant_id, project.project_id, "furnace gearbox"
        )
        assert question is not None
        counts = question.counts
        assert (counts["furnac"].chunks > 1, counts["furnac"].parts) == (True, 1)
        assert question._idf(counts["furnac"]) == question._idf(counts["gearbox"])
        assert question._idf(counts["gearbox"]) == pytest.approx(inverse_document_frequency(2, 1))


class TestLengths:
    async def test_scores_follow_the_average_of_today(self, rag_project: RagProjectFactory) -> None:
        """A short record among long texts is worth more than among records of its own length."""
        project = await rag_project()
        record = await project.add("The valve leaks.")
        await project.add("The furnace glows.")
        before = {each.document_id: each.bm25 for each in await project.candidates("valve")}
        for number in range(6):
            await project.add(f"Hall {number}. {FILLER}")
        after = {each.document_id: each for each in await project.candidates("valve")}
        idf_before, idf_after = inverse_document_frequency(2, 1), inverse_document_frequency(8, 1)
        assert after[record].bm25 / idf_after > before[record] / idf_before
