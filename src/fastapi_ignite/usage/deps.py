"""The dependency that adds quota headers to the answers of an operation."""

from __future__ import annotations

from fastapi import Depends, Response

from fastapi_ignite.usage.quota_state import QuotaState, listen


async def _add_quota_headers(response: Response) -> None:
    def add(state: QuotaState) -> None:
        response.headers.update(state.headers())

    listen(add)


QuotaHeadersDep = Depends(_add_quota_headers)
