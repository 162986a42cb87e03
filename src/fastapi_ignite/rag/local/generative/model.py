"""A model on an OpenAI-compatible server: one call at a time behind a breaker, without the SDK's retries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient

from fastapi_ignite.core.model_sections import AnswerSettings
from fastapi_ignite.rag.errors import ProviderUnavailableError
from fastapi_ignite.rag.llm.bounded_stream import BYTES_A_TOKEN, UNCOMPRESSED, bounded
from fastapi_ignite.rag.llm.failures import UNREACHED, ProviderBreaker
from fastapi_ignite.rag.local.generative.generation import Generation
from fastapi_ignite.rag.local.generative.prompt import Prompt
from fastapi_ignite.rag.local.generative.stream_parsing import parse_chat_stream, parse_response_stream

T = TypeVar("T")
RETRY_AFTER_SECONDS = 10
CONNECT_SECONDS = 5
BYTES_BESIDE = 2**18
# the SDK wants a key; servers that want none do not look at it
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
    """Which API the server has is found out by the first answer, and again when it is gone."""

    def __init__(self, settings: AnswerSettings) -> None:
        self._settings = settings
        self._api: Literal["responses", "chat"] | None = None if settings.api == "auto" else settings.api
        self._thinks_aloud = False
        self._client = AsyncOpenAI(
            api_key=settings.api_key.get_secret_value() if settings.api_key else NO_KEY,
            base_url=settings.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(settings.timeout_seconds, connect=min(CONNECT_SECONDS, settings.timeout_seconds)),
            default_headers=UNCOMPRESSED,
            http_client=DefaultAsyncHttpxClient(
                # the passages go to the server that was named, and to no other
                follow_redirects=False,
                event_hooks={"response": [bounded(settings.max_output_tokens * BYTES_A_TOKEN + BYTES_BESIDE)]},
            ),
        )
        # the SDK reads these from OpenAI's variables, which are not for this server
        self._client.organization = self._client.project = None
        self._breaker = ProviderBreaker(timeout=settings.timeout_seconds, retry_after=RETRY_AFTER_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def generate(self, prompt: Prompt, generation: Generation) -> None:
        """Hear an answer into `generation`, which has what came even if this raises. Cancelling ends the request.

        Raises:
            ProviderError: no answer came.
        """
        generation.thinks_aloud = self._thinks_aloud
        await self._breaker.call(
            "answer", lambda: self._generate(prompt, generation), seconds=self._settings.timeout_seconds
        )
        self._thinks_aloud = generation.has_thought_aloud

    async def _generate(self, prompt: Prompt, generation: Generation) -> None:
        try:
            if self._api == "responses":
                await self._respond(prompt, generation)
            elif self._api == "chat" or not await self._try_responses(prompt, generation):
                await self._chat(prompt, generation)
                self._remember("chat", generation)
        except APIStatusError as error:
            if error.status_code not in _MISSING or error.code == NO_MODEL:
                raise
            self._forget()
            raise ProviderUnavailableError(
                "The model server does not have the model or the API it is asked for."
            ) from error
        generation.require()

    async def _try_responses(self, prompt: Prompt, generation: Generation) -> bool:
        """False where the server has no such API: many refuse it, some with a 400 or 500, some say 200 and nothing."""
        try:
            await self._respond(prompt, generation)
        except APIStatusError as error:
            if not _lacks_responses(error):
                raise
            return False
        self._remember("responses", generation)
        return generation.heard

    async def _respond(self, prompt: Prompt, generation: Generation) -> None:
        async with self._sent(
            generation,
            lambda: self._client.responses.create(
                model=self._settings.model or "",
                instructions=prompt.instructions,
                input=prompt.text,
                max_output_tokens=self._settings.max_output_tokens,
                store=False,
                stream=True,
            ),
        ) as events:
            await parse_response_stream(events, generation)

    async def _chat(self, prompt: Prompt, generation: Generation) -> None:
        async with self._sent(
            generation,
            lambda: self._client.chat.completions.create(
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
            ),
        ) as chunks:
            await parse_chat_stream(chunks, generation)

    @asynccontextmanager
    async def _sent(
        self, generation: Generation, create: Callable[[], Awaitable[AsyncStream[T]]]
    ) -> AsyncIterator[AsyncStream[T]]:
        """From the moment of sending on the server may work, unless it says that it does not."""
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
        if not generation.heard:
            generation.working = False

    def _remember(self, api: Literal["responses", "chat"], generation: Generation) -> None:
        if generation.heard:
            self._api = api

    def _forget(self) -> None:
        """Another server, or another version, may answer at the address now."""
        if self._settings.api == "auto":
            self._api = None


def _lacks_responses(error: APIStatusError) -> bool:
    if error.status_code in _MISSING:
        return error.code != NO_MODEL
    return error.status_code in _UNSURE and _NOT_SUPPORTED.search(error.message) is not None
