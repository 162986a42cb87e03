"""Errors as the service sends them: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The call is answered with an error status and the body of `body()`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def not_found(what: str, object_id: str, param: str | None = "id") -> ApiError:
    return ApiError(404, f"No {what} found with id '{object_id}'.", param=param)


def rate_limited(what: str, limit: int, wait_seconds: float) -> ApiError:
    return ApiError(
        429,
        f"Rate limit reached for {what}: limit {limit} / min. Please try again in {wait_seconds:.3f}s.",
        kind="requests",
        code="rate_limit_exceeded",
        headers={"retry-after": str(max(1, round(wait_seconds + 0.5)))},
    )
