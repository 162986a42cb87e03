"""Build the URLs of PostgreSQL, Redis and the message broker, from the settings or for the embedded servers."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db.logins import derive_password, login_name
from fastapi_ignite.infra.db.pgbouncer import through_pgbouncer
from fastapi_ignite.infra.db.tls import MODES, with_mode, with_tls
from fastapi_ignite.infra.services import ServiceAddresses

from embedded_services import EmbeddedEndpoints

DRIVER = "postgresql+asyncpg"
# Parameters of libpq that the driver or this program uses. Others are refused, because they would have no effect.
URL_PARAMETERS = frozenset({"host", "port", "ssl", "sslmode", "sslrootcert", "target_session_attrs"})


def read_addresses(settings: Settings, endpoints: EmbeddedEndpoints | None) -> ServiceAddresses:
    """Return the URLs for API, worker, scheduler and migrations.

    Raises:
        ConfigurationError: a URL is malformed, or a password is missing in production.
    """
    owner = owner_url(settings, endpoints)
    prefix = settings.postgres.login_prefix
    api, worker, admin = (login_name(prefix, part) for part in ("api", "worker", "admin"))
    configured = {
        api: settings.postgres.api_password,
        worker: settings.postgres.worker_password,
        admin: settings.postgres.admin_password,
    }
    if settings.app.production and not owner.password and not all(configured.values()):
        raise ConfigurationError(
            "POSTGRES_API_PASSWORD, POSTGRES_WORKER_PASSWORD and POSTGRES_ADMIN_PASSWORD: production requires all "
            "three if the owner has no password"
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


def owner_url(settings: Settings, endpoints: EmbeddedEndpoints | None) -> URL:
    """Return the URL of PostgreSQL for the owner of the schema.

    Raises:
        ConfigurationError: the URL is malformed.
    """
    postgres = settings.postgres
    if settings.database.database_url:
        url = _parse_database_url(settings.database.database_url.get_secret_value())
        return with_tls(url, postgres.sslmode, postgres.sslrootcert)
    if postgres.host:
        password = postgres.password.get_secret_value()
        url = URL.create(DRIVER, postgres.user, password, postgres.host, postgres.port, postgres.db)
        return with_tls(url, postgres.sslmode, postgres.sslrootcert)
    if endpoints is None:
        raise ConfigurationError("No PostgreSQL is configured, and none is embedded.")
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
        raise ConfigurationError("DATABASE_URL: must be postgresql://user:password@host:port/database")
    unknown = sorted(set(url.query) - URL_PARAMETERS)
    if unknown:
        raise ConfigurationError(
            f"DATABASE_URL: may have the parameters {', '.join(sorted(URL_PARAMETERS))}, but not {', '.join(unknown)}"
        )
    if "ssl" in url.query:  # the driver's name of the parameter
        url = url.difference_update_query(["ssl"]).update_query_dict({"sslmode": url.query["ssl"]})
    if url.query.get("sslmode", "prefer") not in MODES:
        raise ConfigurationError(f"DATABASE_URL: sslmode must be one of {', '.join(MODES)}")
    return url.set(drivername=DRIVER)


def _shared_url(settings: Settings, owner: URL) -> URL:
    """Return the URL for API, worker and scheduler. Migrations do not use pgbouncer, as they need a session lock."""
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
        username = None if password is None else ""  # without a username SQLAlchemy writes no password either
        host, port, database = settings.redis.host, settings.redis.port, str(settings.redis.db)
        scheme = "rediss" if settings.redis.tls == "on" else "redis"
        return URL.create(scheme, username, password, host, port, database).render_as_string(hide_password=False)
    if endpoints is None:
        raise ConfigurationError("No Redis is configured, and none is embedded.")
    return f"redis://:{endpoints.redis_password}@{endpoints.redis_host}:{endpoints.redis_port}/0"


def _rabbitmq_url(settings: Settings) -> str | None:
    url = settings.dramatiq.rabbitmq_url
    return url.get_secret_value() if url and settings.dramatiq.broker == "rabbitmq" else None
