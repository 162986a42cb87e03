"""Base classes of the errors that callers see. `http/problems` renders them as problem+json."""

from __future__ import annotations

from typing import Any, ClassVar


class Example:
    """The OpenAPI document shows this of an error: a typical `detail`, and every member that only this error has.

    Without a detail, the example shows the title, as an answer does.
    """

    def __init__(self, detail: str = "", **extra: Any) -> None:
        self.detail = detail
        self.extra = extra


class IgniteError(Exception):
    """An error with a stable `code` and the HTTP `status` that it maps to.

    The caller sees `detail` and `extra`. They must never hold a secret, SQL, or another tenant's id.
    A class does not inherit its `example`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    example: ClassVar[Example] = Example()

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
    example = Example(
        "body.question: Field required",
        errors=[{"loc": ["body", "question"], "msg": "Field required", "type": "missing"}],
    )


class UnavailableError(IgniteError):
    """An external service is down. Nothing was charged, and a retry may work."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
    example = Example("The database cannot be reached. Try again.")
