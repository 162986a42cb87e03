"""Keeps all processes together within the provider's published rates."""

from __future__ import annotations

import asyncio
import math
import random
from uuid import UUID

from fastapi_ignite.infra.ratelimit import Limiter
from fastapi_ignite.rag.errors import ProviderRateLimitedError

UPLOADS_A_MINUTE = 1_000
# of files and of batches, together
ATTACHMENTS_A_MINUTE = 300
# over all stores of an organisation
ATTACHED_FILES_A_MINUTE = 2_000
# spreads the retries of callers that were refused together
SPREAD_SECONDS = 20


class ProviderLimits:
    """Counts calls. Without a limiter, as in a process that only asks, nothing is counted."""

    def __init__(self, limiter: Limiter | None) -> None:
        self._limiter = limiter

    async def upload(self, *, wait: bool = False) -> None:
        """Count an upload before it is made. With `wait`, wait for as long as it takes instead of refusing.

        Raises:
            ProviderRateLimitedError: the rate is used up; `Retry-After` says how long to wait.
        """
        await self._take("openai:uploads", UPLOADS_A_MINUTE, 1, wait=wait)

    async def attach(self, tenant_id: UUID, store_id: str, *, files: int = 1, wait: bool = False) -> None:
        """Count a call that attaches files before it is made.

        Raises:
            ProviderRateLimitedError: the rate is used up; `Retry-After` says how long to wait.
        """
        await self._take(f"openai:attach:{tenant_id}:{store_id}", ATTACHMENTS_A_MINUTE, 1, wait=wait)
        await self._take("openai:attached-files", ATTACHED_FILES_A_MINUTE, files, wait=wait)

    async def _take(self, key: str, limit: int, cost: int, *, wait: bool) -> None:
        if self._limiter is None:
            return
        while not (decision := await self._limiter.hit(key, limit, cost=cost)).allowed:
            if not wait:
                later = decision.reset_seconds + random.uniform(0, SPREAD_SECONDS)  # noqa: S311  no secret
                raise ProviderRateLimitedError(
                    "More files wait for the provider than it accepts in a minute.",
                    headers={"Retry-After": str(math.ceil(later))},
                )
            await asyncio.sleep(decision.reset_seconds)
