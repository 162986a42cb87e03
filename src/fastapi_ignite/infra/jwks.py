"""Fetch and cache the public keys of an identity provider (RFC 7517), from the URL in the settings."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx2
import jwt
import structlog
from prometheus_client import Counter

from fastapi_ignite.core.security import KeysUnavailableError

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
REFRESH_SECONDS = 600
# An unknown key id causes a new fetch, because the provider may have rotated its keys. But many forged ids must not
# cause many requests to the provider.
UNKNOWN_KEY_SECONDS = 15
# How long cached keys are trusted while the provider cannot be reached.
STALE_SECONDS = 24 * 3600
TIMEOUT_SECONDS = 3
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
MINIMUM_RSA_BITS = 2048
CURVE = "P-256"

FAILED = Counter("ignite_jwks_failed_total", "Fetches of the identity provider's keys that failed")
log = structlog.get_logger(__name__)


class KeySet:
    """The keys of one URL by their id. Fetches do not overlap, and a request with a known key waits for none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, or None if the provider does not have it.

        Raises:
            KeysUnavailableError: the id is unknown and the provider cannot be reached, or not since a day.
        """
        key = self._known(key_id)
        if key is None or self._age > REFRESH_SECONDS:
            refresh = self._refresh_if_due()
            if key is None and refresh is not None:
                await asyncio.shield(refresh)
                key = self._known(key_id)
        if key is None and self._tried_at > self._fetched_at:
            raise KeysUnavailableError("The identity provider's keys cannot be fetched.", headers={"Retry-After": "15"})
        return key

    async def wait_for_fetch(self) -> None:
        """Wait until no fetch is running."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    @property
    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get(key_id) if self._age < STALE_SECONDS else None

    def _refresh_if_due(self) -> asyncio.Task[None] | None:
        """Return the fetch to wait for: the running one, a new one, or None if the last one was too recent."""
        if self._fetching is None or self._fetching.done():
            if time.monotonic() - self._tried_at < UNKNOWN_KEY_SECONDS:
                return None
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        began = time.monotonic()
        try:
            keys = _usable_keys(await self._fetch())
        except (httpx2.HTTPError, OSError, TimeoutError, ValueError, RecursionError) as error:
            FAILED.inc()
            log.warning("identity provider's keys not fetched", error=type(error).__name__)
            self._tried_at = time.monotonic()
            return
        self._keys = keys
        self._tried_at = self._fetched_at = began

    async def _fetch(self) -> Any:
        """Fetch the key set. Redirects are not followed, because only the settings may decide where keys come from."""
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client,
            client.stream("GET", self._url, headers={"Accept": "application/json"}) as response,
        ):
            if not response.is_success:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("the key set is too large")
        return json.loads(body)


def _usable_keys(document: Any) -> dict[str, jwt.PyJWK]:
    """Return the signature keys that have an id and an algorithm that we support. Others are ignored."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError("not a key set")
    keys = {}
    for entry in listed:
        key = _usable_key(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys[str(entry["kid"])] = key
    return keys


def _usable_key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or not entry.get("kid") or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", algorithm) != algorithm or entry.get("crv", CURVE) != CURVE:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if algorithm != "RS256" or key.key.key_size >= MINIMUM_RSA_BITS else None
