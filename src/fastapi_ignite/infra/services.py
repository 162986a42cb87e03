"""Find PostgreSQL and Redis: the servers in the settings, or else the embedded ones.

`cli.py up` keeps these open as long as it runs, so this module does not import SQLAlchemy (20 MB) at the top.
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
    """URLs with passwords. They must not be logged."""

    owner_url: URL = field(repr=False)
    api_url: URL = field(repr=False)
    worker_url: URL = field(repr=False)
    admin_url: URL = field(repr=False)
    redis_url: str = field(repr=False)
    login_passwords: dict[str, str] = field(repr=False)
    rabbitmq_url: str | None = field(default=None, repr=False)

    @property
    def broker_url(self) -> str:
        """Return the URL of the message broker."""
        return self.rabbitmq_url or self.redis_url


class Services:
    """The URLs of the servers, and the lease that keeps embedded servers running until `close`."""

    def __init__(self, settings: Settings, lease: EmbeddedLease | None) -> None:
        self._settings = settings
        self.lease = lease

    @property
    def addresses(self) -> ServiceAddresses:
        """Return the current URLs. Read them again after `heal`, as a restarted server may use another port."""
        from fastapi_ignite.infra.addresses import read_addresses  # noqa: PLC0415  # SQLAlchemy

        with embedded_errors():
            endpoints = self.lease.endpoints if self.lease else None
        return read_addresses(self._settings, endpoints)

    def heal(self) -> None:
        """Restart the guardian of the embedded servers if it has died. It restarts the servers."""
        if self.lease:
            with embedded_errors():
                self.lease.ensure()

    def close(self) -> None:
        """Release the lease. The embedded servers stop when the last process has done so."""
        if self.lease:
            self.lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_services(settings: Settings) -> Services:
    """Start or share the embedded servers, unless the settings name other servers.

    Raises:
        EmbeddedServicesError: a server did not start.
        ConfigurationError: a URL is malformed.
    """
    configured_database = settings.database.database_url or settings.postgres.host
    configured_redis = settings.redis.url or settings.redis.host
    if configured_database:
        from fastapi_ignite.infra.addresses import owner_url  # noqa: PLC0415  # SQLAlchemy

        owner_url(settings, None)  # reports a malformed URL before a server starts
    if configured_database and configured_redis:
        return Services(settings, None)
    with embedded_errors(HINT):
        lease = acquire(settings.ignite.data_dir, hung_seconds=settings.ignite.hung_seconds)
    return Services(settings, lease)
