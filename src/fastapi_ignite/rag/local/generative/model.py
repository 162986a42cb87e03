"""A model on an OpenAI-compatible server that has the Responses API, the Chat Completions API, or both."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncStream

from fastapi_ignite.core.model_sections import AnswerSettings
from fastapi_ignite.rag.errors import ProviderUnavailableError
from fastapi_ignite.rag.llm.bounded_stream import UNCOMPRESSED
from fastapi_ignite.rag.llm.client import LlmClient
from fastapi_ignite.rag.llm.failures import UNREACHED
from fastapi_ignite.rag.local.generative.generation import Generation
from fastapi_ignite.rag.local.generative.prompt import Prompt

T = TypeVar("T")
CONNECT_SECONDS = 5
OTHER_BYTES = 2**18
# the SDK needs a key; servers that need none ignore it
NO_KEY = "none"
# what OpenAI says; of other servers a 404 does not tell what is missing
NO_MODEL = "model_not_found"

_MISSING = frozenset({404, 405, 501})
_UNSURE = frozenset({400, 422, 500})
_NOT_SUPPORTED = re.compile(
    r"not (?:yet )?(?:supported|implemented|found|allowed)|unsupported|unimplemented|"
    r"(?:unknown|unrecognized|unexpected|invalid) (?:request )?(?:endpoint|url|path|route|api)",
    re.IGNORECASE,
)


class AnswerModel:
    """Asks one model. Which API the server has is found out by the first answer, and again when that API is gone."""

    def __init__(self, settings: AnswerSettings) -> None:
        self._settings = settings
        self._api: Literal["responses", "chat"] | None = None if settings.api == "auto" else settings.api
        self._thinks_aloud = False
        self._client = LlmClient(
            api_key=settings.api_key.get_secret_value() if settings.api_key else NO_KEY,
            base_url=settings.base_url,
            timeout=httpx2.Timeout(settings.timeout_seconds, connect=min(CONNECT_SECONDS, settings.timeout_seconds)),
            max_output_tokens=settings.max_output_tokens,
            other_bytes=OTHER_BYTES,
            # the passages go to the server that was named, and to no other
            follow_redirects=False,
        )
        # the SDK reads these from OpenAI's variables, which are not for this server
        self._client.sdk.organization = self._client.sdk.project = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def generate(self, prompt: Prompt, generation: Generation) -> None:
        """Read an answer into `generation`, which has what came even if this raises. Cancelling ends the request.

        Raises:
            ProviderError: no answer came.
        """
        generation.thinks_aloud = self._thinks_aloud
        await self._client.call("answer", lambda: self._generate(prompt, generation))
        self._thinks_aloud = generation.has_thought_aloud

    async def _generate(self, prompt: Prompt, generation: Generation) -> None:
        try:
            if self._api == "responses":
                await self._respond(prompt, generation)
            elif self._api == "chat" or not await self._try_responses(prompt, generation):
                await self._chat(prompt, generation)
                self._api = "chat" if generation.started else self._api
        except APIStatusError as error:
            if error.status_code not in _MISSING or error.code == NO_MODEL:
                raise
            if self._settings.api == "auto":  # another server, or another version, may answer at the address now
                self._api = None
            raise ProviderUnavailableError(
                "The model server does not have the model or the API it is asked for."
            ) from error
        generation.require()

    async def _try_responses(self, prompt: Prompt, generation: Generation) -> bool:
        """Return False where the server lacks the API: many answer 404, some 400 or 500, some 200 and nothing else."""
        try:
            await self._respond(prompt, generation)
        except APIStatusError as error:
            if not _lacks_responses(error):
                raise
            return False
        self._api = "responses" if generation.started else self._api
        return generation.started

    async def _respond(self, prompt: Prompt, generation: Generation) -> None:
        parameters = {
            "model": self._settings.model or "",
            "instructions": prompt.instructions,
            "input": prompt.text,
            "max_output_tokens": self._settings.max_output_tokens,
        }
        async with self._sent(generation, lambda: self._client.stream_response(parameters)) as events:
            async for event in events:
                generation.add_event(event)
                if _is_too_long(generation):
                    return

    async def _chat(self, prompt: Prompt, generation: Generation) -> None:
        async with self._sent(
            generation,
            lambda: self._client.sdk.chat.completions.create(
                model=self._settings.model or "",
                messages=[
                    {"role": "system", "content": prompt.instructions},
                    {"role": "user", "content": prompt.text},
                ],
                # its successor, `max_completion_tokens`, is ignored by Ollama and LM Studio
                max_tokens=self._settings.max_output_tokens,
                store=False,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=UNCOMPRESSED,
            ),
        ) as chunks:
            async for chunk in chunks:
                generation.add_chunk(chunk)
                if _is_too_long(generation):
                    return

    @asynccontextmanager
    async def _sent(
        self, generation: Generation, create: Callable[[], Awaitable[AsyncStream[T]]]
    ) -> AsyncIterator[AsyncStream[T]]:
        """Send a request. From then on the server may work, unless it says that it does not."""
        generation.working = True
        try:
            stream = await create()
        except APIStatusError:
            generation.working = False
            raise
        except APIConnectionError as error:
            generation.working = not isinstance(error.__cause__, UNREACHED)
            raise
        async with stream:
            yield stream
        if not generation.started:
            generation.working = False


def _lacks_responses(error: APIStatusError) -> bool:
    if error.status_code in _MISSING:
        return error.code != NO_MODEL
    return error.status_code in _UNSURE and _NOT_SUPPORTED.search(error.message) is not None


def _is_too_long(generation: Generation) -> bool:
    """End an answer that is longer than it may be and goes on, and return whether it was ended so."""
    if generation.is_full and not generation.ended:
        generation.stop(truncated=True)
        return True
    return False
