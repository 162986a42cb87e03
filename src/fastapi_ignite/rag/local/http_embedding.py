"""Embeds by a server that speaks OpenAI's protocol, such as OpenAI, vLLM, TEI, Ollama or llama.cpp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import httpx2
import structlog
from prometheus_client import Counter

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.infra.breaker import CircuitBreaker
from fastapi_ignite.rag.local.embedding import EmbeddingError, EmbeddingModel, Vectors
from fastapi_ignite.rag.local.embedding_answer import (
    MAX_DIMENSIONS,
    ServerFailedError,
    TextRefusedError,
    WrongDimensionsError,
    failure,
    read_vectors,
)
from fastapi_ignite.rag.text.tokens import truncate

RETRY_AFTER_SECONDS = 10
# of a server that hangs a start does not wait longer
VERIFY_SECONDS = 5
# below the lease of the document the passages are of
PASSAGES_SECONDS = 100
# documents of a few passages each make small requests, of which a server answers several in the time of one
LANES = 4
# OpenAI accepts 300,000 tokens in a request, TEI two megabytes
REQUEST_CHARACTERS = 200_000
# One refused passage among 64 is found in seven requests and cut short in three more; a server that refuses
# everything is not asked for each.
REFUSED_REQUESTS = 24
CUTS = 3
# of a number as JSON writes it, with its comma
BYTES_A_VALUE = 32
ANSWER_OVERHEAD = 2**16
FAILURES = Counter("ignite_embedding_failures_total", "Requests for embeddings that failed", ["operation", "error"])
log = structlog.get_logger(__name__)


class _NoAnswerError(Exception):
    """The request failed, and this error has a cause; or it was not made, and there is no cause."""


class _Breaker(CircuitBreaker):
    """A breaker that opens at the first failure, for as long as the server asks. Words are searched for meanwhile."""

    unavailable: ClassVar[type[Exception]] = _NoAnswerError

    @property
    def open(self) -> bool:
        return asyncio.get_running_loop().time() < self._closed_until

    @property
    def seconds_left(self) -> float:
        return max(self._closed_until - asyncio.get_running_loop().time(), 0.0)

    def _open(self, operation: str, error: Exception) -> None:
        super()._open(operation, error)
        if isinstance(error, ServerFailedError) and error.retry_after > self._retry_after:
            self._closed_until += error.retry_after - self._retry_after

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        FAILURES.labels(operation, type(error).__name__).inc()
        if not outage:
            log.warning("text not embedded", operation=operation, error=type(error).__name__, reason=str(error))

    def _went_away(self, operation: str, error: Exception) -> None:
        # an exception of the HTTP client may name the address, and with it a password
        reason = str(error) if isinstance(error, ServerFailedError) else ""
        log.error("embedding server away", operation=operation, error=type(error).__name__, reason=reason)

    def _recovered(self) -> None:
        log.info("embedding server back")


class HttpEmbedder:
    """Embeds with one model of one server. It may be shared by the tasks of one event loop."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        if settings.base_url is None or settings.model is None:
            raise ConfigurationError("Set EMBEDDING_BASE_URL and EMBEDDING_MODEL: the embedder http needs both")
        self.batch = settings.batch_size
        self.lanes = min(LANES, settings.max_concurrency)
        self._settings = settings
        self._url = settings.base_url.rstrip("/") + "/embeddings"
        self._dimensions = settings.dimensions
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=settings.timeout_seconds,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None),  # turns are the bound: to wait for one is no failure
        )
        self._turns = asyncio.Semaphore(settings.max_concurrency)
        self._breaker = _Breaker(
            outages=(httpx2.HTTPError, OSError, ServerFailedError),
            timeout=settings.timeout_seconds,
            retry_after=RETRY_AFTER_SECONDS,
        )

    @property
    def model(self) -> EmbeddingModel:
        """Return the model. Its dimensions are known once the server has answered, and do not change afterwards."""
        return EmbeddingModel(f"http:{self._settings.model}", self._dimensions)

    def is_calibrated(self, text: str) -> bool:
        """Return False: the cosines of any model of any server are unknown."""
        del text
        return False

    @property
    def available(self) -> bool:
        """Return whether the breaker would let a request through."""
        return not self._breaker.open

    async def verify(self) -> None:
        """Send one request. A server that is away or refuses us is logged; words are searched for until it is back.

        Raises:
            ConfigurationError: its vectors are not those of the settings, or cannot be stored.
        """
        try:
            await self._vectors("verify", ["dimension"], min(self._settings.timeout_seconds, VERIFY_SECONDS))
        except EmbeddingError as error:
            if isinstance(error.__cause__, WrongDimensionsError):
                raise ConfigurationError(f"EMBEDDING_DIMENSIONS: {error.__cause__}") from None
            log.warning("embedding server not verified", model=self._settings.model, reason=str(error))

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """Embed the passages in as few requests as the server's limits allow."""
        cut = await asyncio.to_thread(self._cut, texts)
        refused = _Refusals()
        embedded: list[Vectors | None] = []
        try:
            async with asyncio.timeout(PASSAGES_SECONDS):
                for request in self._requests(cut):
                    embedded += await self._passages(request, refused)
        except TimeoutError:
            raise EmbeddingError("the server is too slow for a batch of passages") from None
        return embedded

    async def embed_query(self, text: str) -> Vectors:
        """Embed a question within `EMBEDDING_QUERY_TIMEOUT_SECONDS`; fail at once while the server is away."""
        cut = await asyncio.to_thread(self._cut, [text])
        vectors = await self._vectors("query", cut, self._settings.query_timeout_seconds)
        vector: Vectors = vectors[0]
        return vector

    async def close(self) -> None:
        """Close the connections, after the requests under way have ended."""
        await self._breaker.close()
        await self._client.aclose()

    def _cut(self, texts: Sequence[str]) -> list[str]:
        return [truncate(text, self._settings.max_input_tokens) for text in texts]

    def _requests(self, texts: Sequence[str]) -> Iterator[list[str]]:
        request: list[str] = []
        characters = 0
        for text in texts:
            if request and (len(request) == self.batch or characters + len(text) > REQUEST_CHARACTERS):
                yield request
                request, characters = [], 0
            request.append(text)
            characters += len(text)
        if request:
            yield request

    async def _passages(self, texts: list[str], refused: _Refusals) -> list[Vectors | None]:
        """Embed texts. Refused together, they are sent in halves; refused alone, a text is cut, then left out."""
        try:
            return list(await self._vectors("passages", texts, self._settings.timeout_seconds))
        except TextRefusedError as error:
            refused.count(error)
        if len(texts) > 1:
            half = len(texts) // 2
            return [*await self._passages(texts[:half], refused), *await self._passages(texts[half:], refused)]
        return [await self._shortened(texts[0], refused)]

    async def _shortened(self, text: str, refused: _Refusals) -> Vectors | None:
        for _ in range(CUTS):
            text = text[: len(text) // 2]
            if not text.strip():
                break
            try:
                vectors = await self._vectors("passages", [text], self._settings.timeout_seconds)
            except TextRefusedError as error:
                refused.count(error)
            else:
                vector: Vectors = vectors[0]
                return vector
        return None

    async def _vectors(self, operation: str, texts: list[str], seconds: float) -> Vectors:
        if self._breaker.open:
            raise EmbeddingError("the server failed a moment ago", retry_after=self._breaker.seconds_left)
        async with self._turn(seconds):
            try:
                return await self._breaker.run(operation, lambda: self._ask(texts), timeout=seconds)
            except _NoAnswerError as refusal:
                cause = refusal.__cause__
        if isinstance(cause, TextRefusedError):
            raise cause
        reason = str(cause) if isinstance(cause, ServerFailedError) else type(cause).__name__
        raise EmbeddingError(reason, retry_after=self._breaker.seconds_left) from cause

    @asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncGenerator[None]:
        """Wait for a turn. The breaker does not see this wait, which says nothing about the server."""
        try:
            async with asyncio.timeout(seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise EmbeddingError("too many requests for embeddings are under way") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _ask(self, texts: list[str]) -> Vectors:
        body: dict[str, object] = {"model": self._settings.model, "input": texts, "encoding_format": "float"}
        if self._settings.dimensions:
            body["dimensions"] = self._settings.dimensions
        async with self._client.stream("POST", self._url, json=body) as response:
            if not response.is_success:
                raise failure(response.status_code, response.headers.get("retry-after"))
            answer = await self._read(response, len(texts))
        vectors = await asyncio.to_thread(read_vectors, answer, len(texts), self._dimensions)
        # two first answers may come at a time
        if self._dimensions not in {None, vectors.shape[1]}:
            raise WrongDimensionsError(f"the server answers vectors of {vectors.shape[1]} and {self._dimensions}")
        self._dimensions = vectors.shape[1]
        return vectors

    async def _read(self, response: httpx2.Response, count: int) -> bytes:
        limit = ANSWER_OVERHEAD + count * (self._dimensions or MAX_DIMENSIONS) * BYTES_A_VALUE
        answer = bytearray()
        async for part in response.aiter_bytes():
            answer += part
            if len(answer) > limit:
                raise ServerFailedError(f"the server's answer is longer than {limit} bytes")
        return bytes(answer)


async def verify_server(settings: EmbeddingSettings) -> None:
    """Verify the server of the settings, if there is one, on connections of this call alone.

    Raises:
        ConfigurationError: its vectors are not those of the settings, or cannot be stored.
    """
    if settings.base_url:
        embedder = HttpEmbedder(settings)
        try:
            await embedder.verify()
        finally:
            await embedder.close()


class _Refusals:
    """Counts the refusals of one call, and ends it when there are too many."""

    def __init__(self) -> None:
        self._left = REFUSED_REQUESTS

    def count(self, error: TextRefusedError) -> None:
        self._left -= 1
        if not self._left:
            raise EmbeddingError(f"the server refuses too much: {error}") from error
