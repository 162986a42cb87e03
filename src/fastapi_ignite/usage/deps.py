"""The dependency that adds quota headers to the answers of an operation."""

from __future__ import annotations

from fastapi import Depends, Response

from fastapi_ignite.usage.quota_headers import attach_quota_headers


async def _add_to_response(response: Response) -> None:
    attach_quota_headers(response.headers)


QuotaHeadersDep = Depends(_add_to_response)
