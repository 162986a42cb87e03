"""PostgreSQL and Redis: outside servers by setting, else the embedded ones.

`cli.py up` holds these for as long as it runs, and needs no SQLAlchemy (20 MB) for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import IgniteError

from embedded_services import EmbeddedLease, EmbeddedServerError, acquire

if TYPE_CHECKING:
    from sqlalchemy import URL

HINT = "To use servers of your own, set DATABASE_URL and REDIS_URL; to use another data folder, set IGNITE_DATA_DIR."


class EmbeddedServicesError(IgniteError):
    """The embedded PostgreSQL or Valkey cannot run; the detail names the cause and, where there is one, the log."""

    code = "embedded_server_error"
    title = "Embedded server error"


@contextmanager
def embedded_errors(hint: str = "") -> Iterator[None]:
    """Raise the errors of the package `embedded_services` as `EmbeddedServicesError`, with the hint behind them."""
    try:
        yield
    except EmbeddedServerError as error:
        raise EmbeddedServicesError(f"{error}. {hint}" if hint else str(error)) from error


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Full addresses, passwords included: none of them is ever logged."""

    owner_url: URL = field(repr=False)
    api_url: URL = field(repr=False)
    worker_url: URL = field(repr=False)
    admin_url: URL = field(repr=False)
    redis_url: str = field(repr=False)
    login_passwords: dict[str, str] = field(repr=False)
    rabbitmq_url: str | None = field(default=None, repr=False)

    @property
    def broker_url(self) -> str:
        """Where job messages go."""
        return self.rabbitmq_url or self.redis_url


class Services:
    """The addresses, and the lease that keeps embedded servers up until `close`."""

    def __init__(self, settings: Settings, lease: EmbeddedLease | None) -> None:
        self._settings = settings
        self.lease = lease

    @property
    def addresses(self) -> ServiceAddresses:
        """Read again after `heal`: a restarted server may listen elsewhere."""
        from fastapi_ignite.infra.addresses import read_addresses  # noqa: PLC0415  # SQLAlchemy

        with embedded_errors():
            endpoints = self.lease.endpoints if self.lease else None
        return read_addresses(self._settings, endpoints)

    def heal(self) -> None:
        """Bring back the guardian of the embedded servers, which brings them back."""
        if self.lease:
            with embedded_errors():
                self.lease.ensure()

    def close(self) -> None:
        """The last process out stops the embedded servers."""
        if self.lease:
            self.lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_services(settings: Settings) -> Services:
    """Start, or share, the embedded servers where no outside one is set.

    Raises:
        EmbeddedServicesError: a server did not start.
        ConfigurationError: an address is malformed.
    """
    outside_database = settings.database.database_url or settings.postgres.host
    outside_redis = settings.redis.url or settings.redis.host
    if outside_database:
        from fastapi_ignite.infra.addresses import owner_url  # noqa: PLC0415  # SQLAlchemy

        owner_url(settings, None)  # what is malformed is said before a server starts
    if outside_database and outside_redis:
        return Services(settings, None)
    with embedded_errors(HINT):
        lease = acquire(settings.ignite.data_dir, hung_seconds=settings.ignite.hung_seconds)
    return Services(settings, lease)
