"""The answerer that asks a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi_ignite.core.model_sections import AnswerSettings
from fastapi_ignite.rag.answers.passage import REFUSAL
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.answerer import Draft
from fastapi_ignite.rag.local.generative.answer_parsing import AnswerReader
from fastapi_ignite.rag.local.generative.generation import Generation
from fastapi_ignite.rag.local.generative.model import AnswerModel
from fastapi_ignite.rag.local.generative.prompt import compose
from fastapi_ignite.rag.local.retrieval import Retrieved
from fastapi_ignite.rag.text.tokens import count_tokens


class GenerativeAnswerer:
    """Lets a model judge whether the passages hold the answer. Where there are none, the model is not asked."""

    paid = True

    def __init__(self, settings: AnswerSettings) -> None:
        self.passages = settings.passages
        self._settings = settings
        self._model = AnswerModel(settings)

    async def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, *, stream: bool
    ) -> AsyncGenerator[Draft]:
        if found is None or not found.passages:
            usage.tokens_in += await asyncio.to_thread(count_tokens, question)
            usage.tokens_out += await asyncio.to_thread(count_tokens, REFUSAL)
            yield Draft()
            return
        prompt = await asyncio.to_thread(
            compose, question, found.passages, passage_tokens=self._settings.passage_tokens
        )
        generation = Generation(
            f"{prompt.instructions}\n{prompt.text}", max_output_tokens=self._settings.max_output_tokens
        )
        reader = await asyncio.to_thread(AnswerReader, prompt.passages)
        length = 0
        try:
            async with aclosing(generation.progress(self._model.generate(prompt, generation))) as progress:
                async for _ in progress:
                    beginning = generation.beginning if stream else ""
                    if len(beginning) > length:
                        length = len(beginning)
                        yield await asyncio.to_thread(reader.read_beginning, beginning)
        finally:
            generation.charge(usage)
        if generation.refused:
            yield Draft(refusal=generation.text)
        else:
            yield await asyncio.to_thread(reader.read, generation.text, truncated=generation.truncated)

    async def close(self) -> None:
        await self._model.close()
