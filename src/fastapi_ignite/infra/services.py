"""Where PostgreSQL and Redis are: outside servers by setting, else the embedded ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db.logins import derive_password, login_name
from fastapi_ignite.infra.db.pgbouncer import through_pgbouncer
from fastapi_ignite.infra.db.tls import MODES, with_mode, with_tls
from fastapi_ignite.infra.embedded import EmbeddedEndpoints, EmbeddedLease, acquire

DRIVER = "postgresql+asyncpg"
# Those of libpq that the driver or this program understands: what nobody would heed is refused.
URL_PARAMETERS = frozenset({"host", "port", "ssl", "sslmode", "sslrootcert", "target_session_attrs"})


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
        return _addresses(self._settings, self.lease.endpoints if self.lease else None)

    def heal(self) -> None:
        """Bring back the guardian of the embedded servers, which brings them back."""
        if self.lease:
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
        EmbeddedServerError: a server did not start.
        ConfigurationError: an address is malformed.
    """
    outside_database = settings.database.database_url or settings.postgres.host
    outside_redis = settings.redis.url or settings.redis.host
    if outside_database:
        _owner_url(settings, None)  # what is malformed is said before a server starts
    if outside_database and outside_redis:
        return Services(settings, None)
    return Services(settings, acquire(settings.ignite.data_dir, hung_seconds=settings.ignite.hung_seconds))


def _owner_url(settings: Settings, endpoints: EmbeddedEndpoints | None) -> URL:
    postgres = settings.postgres
    if settings.database.database_url:
        url = _parse_database_url(settings.database.database_url.get_secret_value())
        return with_tls(url, postgres.sslmode, postgres.sslrootcert)
    if postgres.host:
        password = postgres.password.get_secret_value()
        url = URL.create(DRIVER, postgres.user, password, postgres.host, postgres.port, postgres.db)
        return with_tls(url, postgres.sslmode, postgres.sslrootcert)
    if endpoints is None:
        raise ConfigurationError("neither an outside nor an embedded PostgreSQL is available")
    return URL.create(
        DRIVER,
        endpoints.postgres_user,
        endpoints.postgres_password,
        endpoints.postgres_host,
        endpoints.postgres_port,
        endpoints.postgres_database,
    )


def _parse_database_url(value: str) -> URL:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        url = URL.create("unknown")
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError("DATABASE_URL: takes postgresql://user:password@host:port/database")
    unknown = sorted(set(url.query) - URL_PARAMETERS)
    if unknown:
        raise ConfigurationError(
            f"DATABASE_URL: takes the parameters {', '.join(sorted(URL_PARAMETERS))}, and not {', '.join(unknown)}"
        )
    if "ssl" in url.query:  # the driver's own name for it
        url = url.difference_update_query(["ssl"]).update_query_dict({"sslmode": url.query["ssl"]})
    if url.query.get("sslmode", "prefer") not in MODES:
        raise ConfigurationError(f"DATABASE_URL: sslmode takes one of {', '.join(MODES)}")
    return url.set(drivername=DRIVER)


def _shared_url(settings: Settings, owner: URL) -> URL:
    """Where API, worker and scheduler connect. Migrations hold a session's lock, so the owner's address is direct."""
    postgres = settings.postgres
    if postgres.pgbouncer_host is None:
        return owner
    pooled = through_pgbouncer(owner, host=postgres.pgbouncer_host, port=postgres.pgbouncer_port)
    return with_mode(pooled, postgres.pgbouncer_sslmode)


def _redis_url(settings: Settings, endpoints: EmbeddedEndpoints | None) -> str:
    if settings.redis.url:
        return settings.redis.url.get_secret_value()
    if settings.redis.host:
        password = settings.redis.password.get_secret_value() if settings.redis.password else None
        username = None if password is None else ""  # without one SQLAlchemy renders no password either
        host, port, database = settings.redis.host, settings.redis.port, str(settings.redis.db)
        scheme = "rediss" if settings.redis.tls == "on" else "redis"
        return URL.create(scheme, username, password, host, port, database).render_as_string(hide_password=False)
    if endpoints is None:
        raise ConfigurationError("neither an outside nor an embedded Redis is available")
    return f"redis://:{endpoints.redis_password}@{endpoints.redis_host}:{endpoints.redis_port}/0"


def _rabbitmq_url(settings: Settings) -> str | None:
    url = settings.dramatiq.rabbitmq_url
    return url.get_secret_value() if url and settings.dramatiq.broker == "rabbitmq" else None


def _addresses(settings: Settings, endpoints: EmbeddedEndpoints | None) -> ServiceAddresses:
    owner = _owner_url(settings, endpoints)
    prefix = settings.postgres.login_prefix
    api, worker, admin = (login_name(prefix, part) for part in ("api", "worker", "admin"))
    configured = {
        api: settings.postgres.api_password,
        worker: settings.postgres.worker_password,
        admin: settings.postgres.admin_password,
    }
    if settings.app.production and not owner.password and not all(configured.values()):
        raise ConfigurationError(
            "POSTGRES_API_PASSWORD, POSTGRES_WORKER_PASSWORD and POSTGRES_ADMIN_PASSWORD: production wants all three "
            "where the owner has no password"
        )
    passwords = {
        login: secret.get_secret_value() if secret else derive_password(owner.password or "", login)
        for login, secret in configured.items()
    }
    shared = _shared_url(settings, owner)
    return ServiceAddresses(
        owner_url=owner,
        api_url=shared.set(username=api, password=passwords[api]),
        worker_url=shared.set(username=worker, password=passwords[worker]),
        admin_url=shared.set(username=admin, password=passwords[admin]),
        redis_url=_redis_url(settings, endpoints),
        login_passwords=passwords,
        rabbitmq_url=_rabbitmq_url(settings),
    )
