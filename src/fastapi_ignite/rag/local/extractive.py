"""Answers in the sources' own words: no model writes, nothing leaves the machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.answerer import Draft
from fastapi_ignite.rag.local.answering import REFUSAL, Quote, select_quotes, shortlist
from fastapi_ignite.rag.local.embedding import count_tokens, load_embedder
from fastapi_ignite.rag.local.retrieval import Retrieved


class ExtractiveAnswerer:
    """The sentences that say it, or a refusal where the evidence is weak."""

    passages = 6
    paid = False

    async def answer(self, question: str, found: Retrieved | None, usage: TokenUsage) -> Draft:
        quotes, tokens_in, tokens_out = await asyncio.to_thread(_read, question, found)
        usage.tokens_in += tokens_in
        usage.tokens_out += tokens_out
        return Draft(quotes)

    async def close(self) -> None:
        """Nothing is its own."""


def _read(question: str, found: Retrieved | None) -> tuple[list[Quote], int, int]:
    """The quotes that answer, the tokens read to find them, and those of the answer."""
    read = count_tokens(question)
    if found is None:
        return [], read, count_tokens(REFUSAL)
    read += sum(count_tokens(passage.text) for passage in found.passages)
    evidence = shortlist(found.passages, found.terms)
    embedder = load_embedder(found.embedder)
    if embedder is not None and found.vector is not None and evidence:
        similarities = embedder.embed_passages([sentence.text for sentence in evidence]) @ found.vector
        evidence = [
            replace(sentence, similarity=float(similarity))
            for sentence, similarity in zip(evidence, similarities, strict=True)
        ]
    quotes = select_quotes(evidence, found.terms)
    return quotes, read, sum(count_tokens(quote.text) for quote in quotes) or count_tokens(REFUSAL)
