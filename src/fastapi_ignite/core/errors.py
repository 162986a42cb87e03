"""The one error tree. A feature raises the fact; `http/problems` renders it as problem+json."""

from __future__ import annotations

from typing import Any, ClassVar


class IgniteError(Exception):
    """A failure with a stable `code`, the HTTP `status` it maps to, and the fields of the case.

    `extra` is shown to the caller: it never holds a secret, SQL, or another tenant's id.
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
    """A setting is missing or wrong; the program does not start."""

    code = "configuration_error"
    title = "Configuration error"


class NotFoundError(IgniteError):
    """Unknown and foreign ids alike, so that an answer never tells which."""

    status = 404
    code = "not_found"
    title = "Not found"


class InvalidInputError(IgniteError):
    """Input that is well-formed JSON or multipart but not acceptable."""

    status = 422
    code = "validation_error"
    title = "Invalid input"


class UnavailableError(IgniteError):
    """Something outside is down; nothing was charged and a retry may work."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
