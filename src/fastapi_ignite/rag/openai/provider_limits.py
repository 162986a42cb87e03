"""The provider's published rates, kept by all processes together before the provider has to refuse anything."""

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
# those who were refused together shall not come back together
SPREAD_SECONDS = 20


class ProviderLimits:
    """Without a limiter (a process that only asks) nothing is counted."""

    def __init__(self, limiter: Limiter | None) -> None:
        self._limiter = limiter

    async def upload(self, *, wait: bool = False) -> None:
        """One file is about to be uploaded. `wait`: for as long as it takes, instead of a refusal.

        Raises:
            ProviderRateLimitedError: not in this minute; `Retry-After` says when.
        """
        await self._take("openai:uploads", UPLOADS_A_MINUTE, 1, wait=wait)

    async def attach(self, tenant_id: UUID, store_id: str, *, files: int = 1, wait: bool = False) -> None:
        """One call that attaches is about to be made.

        Raises:
            ProviderRateLimitedError: as above.
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
                    "More files are on their way to the provider than it takes in a minute.",
                    headers={"Retry-After": str(math.ceil(later))},
                )
            await asyncio.sleep(decision.reset_seconds)
