"""The answerer that quotes the sources' own words. No model writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from fastapi_ignite.rag.answers.passage import REFUSAL, said
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.answerer import Draft
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.evidence import Evidence, select_quotes, shortlist
from fastapi_ignite.rag.local.retrieval import Retrieved
from fastapi_ignite.rag.text.tokens import count_tokens


class ExtractiveAnswerer:
    """Answers with the sentences and rows that fit best, or refuses where the evidence is weak."""

    passages = 6
    paid = False

    def __init__(self, embedders: Embedders) -> None:
        self._embedders = embedders

    async def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, *, stream: bool
    ) -> AsyncGenerator[Draft]:
        del stream  # the answer is there at once
        tokens_in, evidence = await asyncio.to_thread(_evidence, question, found)
        usage.tokens_in += tokens_in
        if found is not None and evidence:
            evidence = await self._compared(evidence, question, found)
        quotes = select_quotes(evidence, found.question.terms) if found is not None else []
        text = said(quotes) or REFUSAL
        usage.tokens_out += await asyncio.to_thread(count_tokens, text)
        yield Draft(quotes)

    async def close(self) -> None:
        """Do nothing: the engine closes the embedders."""

    async def _compared(self, evidence: list[Evidence], question: str, found: Retrieved) -> list[Evidence]:
        """Add each piece's similarity to the question, where the thresholds were chosen for such texts."""
        embedder = await self._embedders.find(found.question.index.model)
        if embedder is None or found.vector is None or not embedder.is_calibrated(question):
            return evidence
        readings = [each.reading for each in evidence if embedder.is_calibrated(each.reading)]
        vectors = dict(zip(readings, await embedder.embed_passages(readings), strict=True))
        return [
            each
            if (vector := vectors.get(each.reading)) is None
            else replace(each, similarity=float(vector @ found.vector))
            for each in evidence
        ]


def _evidence(question: str, found: Retrieved | None) -> tuple[int, list[Evidence]]:
    """Return how many tokens were read, and the pieces that may answer."""
    tokens = count_tokens(question)
    if found is None:
        return tokens, []
    tokens += sum(count_tokens(passage.text) for passage in found.passages)
    return tokens, shortlist(found.passages, found.question.terms)
