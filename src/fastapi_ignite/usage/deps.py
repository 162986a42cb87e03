"""What an operation that uses some of a cap declares."""

from __future__ import annotations

from fastapi import Depends, Response

from fastapi_ignite.usage.quota_headers import attach_quota_headers


async def _note_on_answer(response: Response) -> None:
    attach_quota_headers(response.headers)


QuotaHeadersDep = Depends(_note_on_answer)
