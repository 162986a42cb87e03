"""Answers in the sources' own words: no model writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi_ignite.rag.answers.passage import REFUSAL
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.answerer import Draft, DraftListener
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import EmbeddingModel, Vectors
from fastapi_ignite.rag.local.evidence import Evidence, select_quotes, shortlist
from fastapi_ignite.rag.local.retrieval import Retrieved
from fastapi_ignite.rag.text.tokens import count_tokens


class ExtractiveAnswerer:
    """The sentences that say it, or a refusal where the evidence is weak."""

    passages = 6
    paid = False

    def __init__(self, embedders: Embedders) -> None:
        self._embedders = embedders

    async def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, drafting: DraftListener | None = None
    ) -> Draft:
        del drafting  # it is all there at once
        tokens_in, evidence = await asyncio.to_thread(_evidence, question, found)
        usage.tokens_in += tokens_in
        if found is not None and found.vector is not None and evidence:
            evidence = await self._compared(evidence, found.model, found.vector)
        quotes = select_quotes(evidence, found.terms) if found is not None else []
        said = "\n\n".join(quote.text for quote in quotes) or REFUSAL
        usage.tokens_out += await asyncio.to_thread(count_tokens, said)
        return Draft(quotes)

    async def close(self) -> None:
        """The embedders are the engine's."""

    async def _compared(self, evidence: list[Evidence], model: EmbeddingModel, question: Vectors) -> list[Evidence]:
        """With similarities, where the model's say something to the answerer."""
        embedder = await self._embedders.find(model)
        if embedder is None or not embedder.calibrated:
            return evidence
        vectors = await embedder.embed_passages([sentence.text for sentence in evidence])
        return [
            replace(sentence, similarity=None if vector is None else float(vector @ question))
            for sentence, vector in zip(evidence, vectors, strict=True)
        ]


def _evidence(question: str, found: Retrieved | None) -> tuple[int, list[Evidence]]:
    """The tokens read, and the sentences that may answer."""
    tokens = count_tokens(question)
    if found is None:
        return tokens, []
    tokens += sum(count_tokens(passage.text) for passage in found.passages)
    return tokens, shortlist(found.passages, found.terms)
