"""Calls the HTTP API, for commands that do what any other client could do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import httpx2

from fastapi_ignite.core.errors import ConfigurationError, IgniteError, UnavailableError

CONNECT_SECONDS = 5
READ_SECONDS = 100  # an answer may take ANSWER_TIMEOUT_SECONDS, which is 90 by default
PATIENCE_SECONDS = 5
QUEUE_SECONDS = 65  # a rate limit ends in a minute
FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 15.0
PAGE = 100
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503

# A function that creates the body of a request again for each attempt.
Body = Callable[[], bytes | Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Problem:
    """The problem that the server answered to a request that it refused."""

    status: int
    code: str
    detail: str
    request_id: str | None = None
    retry_after: float | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, response: httpx2.Response) -> Self:
        """Read problem+json. Anything else comes from a proxy or from another program."""
        try:
            body = response.json()
        except ValueError:
            body = None
        retry_after = response.headers.get("retry-after", "")
        known = body if isinstance(body, dict) else {}
        return cls(
            status=response.status_code,
            code=str(known.get("code", "")),
            detail=str(known.get("detail") or f"{response.url} answered {response.status_code} without a reason."),
            request_id=known.get("request_id") or response.headers.get("x-request-id"),
            retry_after=float(retry_after) if retry_after.isdigit() else None,
            members=known,
        )

    @property
    def is_temporary(self) -> bool:
        """Tell whether the same request may succeed a moment later."""
        again = self.status in {TOO_MANY_REQUESTS, UNAVAILABLE} or self.code == "idempotency_in_progress"
        return again or (self.status in {502, 504} and not self.code)  # a proxy in front of a server that restarts


class RequestRefusedError(IgniteError):
    """The server refused a request. `problem` is its answer."""

    def __init__(self, problem: Problem) -> None:
        about = ", ".join(filter(None, (problem.code, problem.request_id and f"request {problem.request_id}")))
        super().__init__(f"{problem.detail} ({about})" if about else problem.detail)
        self.problem = problem


class ServerAwayError(UnavailableError):
    """No connection to the server was possible, or it ended before the answer, until the patience was over."""


class ApiClient:
    """Sends requests with a credential, and repeats those that may be repeated. Threads may share it.

    A request is repeated for `patience_seconds` after the connection was lost and after 503, and for `queue_seconds`
    after 429, as the server asks (`Retry-After`). A POST carries an Idempotency-Key, so that a repetition changes
    nothing. `on_pause` is told how many seconds the client waits, and why.

    Raises:
        ConfigurationError: The address or the credential cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        credential: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        queue_seconds: float = QUEUE_SECONDS,
        on_pause: Callable[[float, str], None] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{base_url} is not the address of a server. It begins with http:// or https://.")
        if credential and not (credential.isascii() and credential.isprintable()):
            raise ConfigurationError("The token has characters that no token has. Copy it again.")
        self.base_url = base_url.rstrip("/")
        self.patience_seconds = patience_seconds
        self.queue_seconds = queue_seconds
        self.on_pause = on_pause
        self._stopped = threading.Event()
        self._may_send_at = 0.0
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {credential}"} if credential else {},
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._http.close()

    def stop(self) -> None:
        """End every pause. The requests that wait in one fail with what they wait for."""
        self._stopped.set()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the JSON object of a GET. Parameters that are None are left out."""
        return _json_object(self.send("GET", path, params=params))

    def post(self, path: str, *, body: Any = None, **params: Any) -> dict[str, Any]:
        """Return the JSON object of a POST."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        return _json_object(self.send("POST", path, params=params, headers=headers, body=lambda: content))

    def pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list, which `key` names in the answers, from all of its pages."""
        after = None
        while True:
            page = self.get(path, limit=PAGE, after=after, **params)
            yield from page[key]
            after = page.get("next_after")
            if not page.get("has_more", after is not None):
                return

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> httpx2.Response:
        """Send a request until it is answered, and return the answer, which is a JSON object.

        Raises:
            RequestRefusedError: The server refused it, or asked to wait for longer than the patience.
            ServerAwayError: The server could not be reached in time.
            UnavailableError: Something else than this API answered.
        """
        sent_headers = self._headers(method, headers)

        def attempt() -> httpx2.Response:
            content = body() if body else None
            query = _without_none(params)
            return self._http.request(method, self._url(path), params=query, headers=sent_headers, content=content)

        response = self._until_answered(attempt)
        if not response.headers.get("content-type", "").startswith("application/json"):
            raise UnavailableError(f"{response.url} is not an operation of this API. Check the address of the server.")
        return response

    @contextmanager
    def events(self, path: str, body: Any) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
        """Send a POST, and yield its server-sent events as pairs of name and data.

        Raises:
            As `send`; after the first event also ServerAwayError.
        """
        headers = self._headers("POST", {"Content-Type": "application/json", "Accept": "text/event-stream"})

        def send() -> httpx2.Response:
            request = self._http.build_request("POST", self._url(path), headers=headers, content=json.dumps(body))
            return self._http.send(request, stream=True)

        response = self._until_answered(send)
        try:
            if response.headers.get("content-type", "").startswith("application/json"):  # a replay is not streamed
                yield iter([("done", json.loads(response.read()))])
            else:
                yield ((event.event, json.loads(event.data)) for event in httpx2.EventSource(response))
        except httpx2.TransportError as error:
            raise ServerAwayError(f"The answer of {self.base_url} was cut off ({_reason(error)}).") from error
        finally:
            response.close()

    def _until_answered(self, send: Callable[[], httpx2.Response]) -> httpx2.Response:
        began = time.monotonic()
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._pause(self._may_send_at - time.monotonic(), "rate limit")
            refusal: IgniteError
            patience = self.patience_seconds
            try:
                response = send()
            except httpx2.TransportError as error:
                refusal = ServerAwayError(f"{self.base_url} does not answer ({_reason(error)}).")
                reason, seconds = _reason(error), pause
            else:
                self._heed_rate_limit(response)
                if response.is_success:
                    return response
                response.read()
                problem = Problem.of(response)
                refusal, reason = RequestRefusedError(problem), problem.code or str(problem.status)
                seconds = problem.retry_after or pause
                if problem.status == TOO_MANY_REQUESTS:
                    patience = self.queue_seconds
                if not problem.is_temporary:
                    raise refusal
            if time.monotonic() + seconds > began + patience or self._pause(seconds, reason):
                raise refusal
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    def _heed_rate_limit(self, response: httpx2.Response) -> None:
        """Wait before the next request if this one took the last unit of the minute."""
        reset = response.headers.get("x-ratelimit-reset", "")
        if response.is_success and response.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
            self._may_send_at = time.monotonic() + int(reset)

    def _pause(self, seconds: float, reason: str) -> bool:
        """Wait, and tell whether the client was stopped meanwhile."""
        if seconds <= 0:
            return self._stopped.is_set()
        if self.on_pause:
            self.on_pause(seconds, reason)
        return self._stopped.wait(seconds)

    def _url(self, path: str) -> str:
        return f"{self.base_url}{path}"

    @staticmethod
    def _headers(method: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        key = {} if method == "GET" else {"Idempotency-Key": uuid4().hex, "Prefer": "idempotency=replay"}
        return {**key, **(headers or {})}


def _json_object(response: httpx2.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    return body


def _without_none(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _reason(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
