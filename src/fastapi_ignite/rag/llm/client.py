"""The client of an OpenAI-compatible server: the SDK without its retries, behind a breaker.

The SDK sends no idempotency key, so a POST that is repeated may create or cost twice: whether to repeat a call is
decided by those who can look first whether it was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient

from fastapi_ignite.rag.llm.bounded_stream import UNCOMPRESSED, bounded
from fastapi_ignite.rag.llm.failures import ProviderBreaker

T = TypeVar("T")
RETRY_AFTER_SECONDS = 10
RESPONSES = "/responses"
# An event carries a token and up to 2 KiB around it; the last events repeat the answer.
BYTES_A_TOKEN = 2048


class LlmClient:
    """One server with one key. It may be shared by the tasks of one event loop.

    An answer, which is the response of a request whose path ends with `answer_path`, may be as long as
    `max_output_tokens` tokens and `other_bytes` bytes beside them.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        timeout: httpx2.Timeout,
        max_output_tokens: int,
        other_bytes: int,
        answer_path: str = "",
        follow_redirects: bool = True,
        organization: str | None = None,
        project: str | None = None,
    ) -> None:
        self.sdk = AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=follow_redirects,
                event_hooks={"response": [bounded(max_output_tokens * BYTES_A_TOKEN + other_bytes, path=answer_path)]},
            ),
        )
        self._timeout_seconds = timeout.read or 0
        self._breaker = ProviderBreaker(timeout=self._timeout_seconds, retry_after=RETRY_AFTER_SECONDS)

    async def call(self, operation: str, make: Callable[[], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Return the result of a call, which may take `seconds`, or else the client's timeout.

        Raises:
            ProviderError: the call failed, took too long, or was not tried because the server is away.
        """
        return await self._breaker.call(operation, make, seconds=seconds or self._timeout_seconds)

    async def stream_response(
        self, parameters: Mapping[str, object], *, seconds: float | None = None
    ) -> AsyncStream[object]:
        """Request an answer from the Responses API, and return its events in the form they are sent.

        The SDK's models of fifty kinds of events cost a millisecond of CPU for each word.
        """
        return await self.sdk.post(
            RESPONSES,
            body={**parameters, "store": False, "stream": True},
            cast_to=object,
            options={"headers": UNCOMPRESSED, **({"timeout": seconds} if seconds else {})},
            stream=True,
            stream_cls=AsyncStream[object],
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.sdk.close()
