"""The dependency of operations that use some of a cap."""

from __future__ import annotations

from fastapi import Depends, Response

from fastapi_ignite.usage.quota_state import QuotaState, listen


async def _put_quota_on(response: Response) -> None:
    def put(state: QuotaState) -> None:
        response.headers.update(state.headers())

    listen(put)


QuotaHeadersDep = Depends(_put_quota_on)
