"""The answerer that asks a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi_ignite.core.model_sections import AnswerSettings
from fastapi_ignite.core.polling import run_while_polling
from fastapi_ignite.rag.answers.passage import REFUSAL
from fastapi_ignite.rag.answers.verified_stream import LOOK_SECONDS
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.answerer import Draft, DraftListener
from fastapi_ignite.rag.local.generative.answer_parsing import AnswerReader
from fastapi_ignite.rag.local.generative.generation import Generation
from fastapi_ignite.rag.local.generative.model import AnswerModel
from fastapi_ignite.rag.local.generative.prompt import compose
from fastapi_ignite.rag.local.retrieval import Retrieved
from fastapi_ignite.rag.text.tokens import count_tokens


class GenerativeAnswerer:
    """The model judges whether the passages hold the answer; where there are none it is not asked."""

    paid = True

    def __init__(self, settings: AnswerSettings) -> None:
        self.passages = settings.passages
        self._settings = settings
        self._model = AnswerModel(settings)

    async def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, drafting: DraftListener | None = None
    ) -> Draft:
        if found is None or not found.passages:
            usage.tokens_in += await asyncio.to_thread(count_tokens, question)
            usage.tokens_out += await asyncio.to_thread(count_tokens, REFUSAL)
            return Draft()
        prompt = await asyncio.to_thread(
            compose, question, found.passages, passage_tokens=self._settings.passage_tokens
        )
        generation = Generation(self._settings.max_output_tokens)
        reader = await asyncio.to_thread(AnswerReader, prompt.passages)
        generating = self._model.generate(prompt, generation)
        try:
            if drafting:
                await run_while_polling(generating, _beginning(generation, reader, drafting), every=LOOK_SECONDS)
            else:
                await generating
        finally:
            generation.charge(prompt.tokens, usage)
        if generation.declined:
            return Draft(refusal=generation.text)
        return await asyncio.to_thread(reader.read, generation.text, truncated=generation.truncated)

    async def close(self) -> None:
        await self._model.close()


def _beginning(generation: Generation, reader: AnswerReader, drafting: DraftListener) -> Callable[[], Awaitable[None]]:
    """Shows what of the answer is there and will stay."""
    length = 0

    async def look() -> None:
        nonlocal length
        said = generation.beginning
        if len(said) > length:
            length = len(said)
            await drafting(await asyncio.to_thread(reader.read_beginning, said))

    return look
