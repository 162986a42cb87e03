"""Base classes of the errors that callers see. `http/problems` renders them as problem+json."""

from __future__ import annotations

from typing import Any, ClassVar


class IgniteError(Exception):
    """An error with a stable `code` and the HTTP `status` that it maps to.

    The caller sees `detail` and `extra`. They must never hold a secret, SQL, or another tenant's id.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = headers or {}
        self.extra = extra


class ConfigurationError(IgniteError):
    """A setting is missing or wrong, so the program does not start."""

    code = "configuration_error"
    title = "Configuration error"


class NotFoundError(IgniteError):
    """The id is unknown or belongs to another tenant. The answer does not tell which, on purpose."""

    status = 404
    code = "not_found"
    title = "Not found"


class InvalidInputError(IgniteError):
    """The input is well-formed JSON or multipart, but its values are not allowed."""

    status = 422
    code = "validation_error"
    title = "Invalid input"


class UnavailableError(IgniteError):
    """An external service is down. Nothing was charged, and a retry may work."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
