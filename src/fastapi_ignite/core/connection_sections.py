"""The settings of the servers that the program connects to: PostgreSQL, Redis and the message broker."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fastapi_ignite.core.sections import Section, is_url

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})
PostgresTls = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class PostgresSettings(Section):
    """PostgreSQL. Without `POSTGRES_HOST` and `DATABASE_URL` the embedded server is used."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")
    host: str | None = Field(None, description="Host of your own server. Unset: the embedded one.")
    port: int = Field(5432, ge=1, le=65535, description="Port of your own server.")
    user: str = Field("postgres", min_length=1, description="Owner of the schema. It runs the migrations.")
    password: SecretStr = Field(SecretStr(""), description="The owner's password.")
    db: str = Field("fastapi_ignite", min_length=1, description="Database name.")
    login_prefix: str = Field(
        "ignite",
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Prefix of the logins, which end in `_api`, `_worker` and `_admin`. A second installation on the "
        "same server needs another prefix.",
    )
    api_password: SecretStr | None = Field(
        None, description="Password of the API's login. Unset: derived from the owner's."
    )
    worker_password: SecretStr | None = Field(
        None, description="Password of the login of worker and scheduler. Unset: derived from the owner's."
    )
    admin_password: SecretStr | None = Field(
        None, description="Password of the admin API's login. Unset: derived from the owner's."
    )
    pool_size: int = Field(
        10,
        ge=1,
        le=200,
        description="Half of the connections that a process may open. It opens one when all others are in use, and "
        "keeps it.",
    )
    pgbouncer_host: str | None = Field(
        None,
        description="Host of pgbouncer (transaction mode) for API, worker and scheduler. Migrations do not use it.",
    )
    pgbouncer_port: int = Field(6432, ge=1, le=65535, description="Port of pgbouncer.")
    sslmode: PostgresTls | None = Field(
        None,
        description="TLS mode as in libpq. Unset: TLS is tried, but not required. Over a network production requires "
        "`require` or a stricter mode, or `disable`. `sslmode` in `DATABASE_URL` overrides it.",
    )
    pgbouncer_sslmode: PostgresTls | None = Field(
        None, description="TLS mode to pgbouncer. Unset: the same as to the server."
    )
    sslrootcert: str | None = Field(
        None,
        min_length=1,
        description="File of the certificate authorities that `verify-ca` and `verify-full` trust. Unset or `system`: "
        "those of the machine. `sslrootcert` in `DATABASE_URL` overrides it.",
    )

    @field_validator("login_prefix")
    @classmethod
    def _is_not_reserved(cls, value: str) -> str:
        if f"{value}_".startswith("pg_"):
            raise ValueError("must not begin with pg_, which PostgreSQL reserves")
        return value


class DatabaseUrlSettings(Section):
    """The other way to configure your own PostgreSQL."""

    database_url: SecretStr | None = Field(
        None,
        description="`postgresql://owner:password@host:port/db?sslmode=verify-full`. It overrides the `POSTGRES_*` "
        "variables.",
    )


class RedisSettings(Section):
    """Redis or Valkey. Without `REDIS_HOST` and `REDIS_URL` the embedded server is used."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")
    url: SecretStr | None = Field(
        None, description="`redis://:password@host:port/db`. It overrides the variables below."
    )
    host: str | None = Field(None, description="Host of your own server. Unset: the embedded one.")
    port: int = Field(6379, ge=1, le=65535, description="Port of your own server.")
    password: SecretStr | None = Field(None, description="Password of your own server.")
    db: int = Field(0, ge=0, le=15, description="Database number.")
    tls: Literal["on", "off"] | None = Field(
        None,
        description="TLS to your own server; with `REDIS_URL` use `rediss://` instead. Over a network production "
        "requires TLS, or `off`.",
    )

    @field_validator("url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_url(value.get_secret_value(), REDIS_SCHEMES):
            raise ValueError("must be redis://:password@host:port/db, rediss:// (with TLS) or unix://")
        return value

    @field_validator("tls")
    @classmethod
    def _agrees_with_the_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        url: SecretStr | None = info.data.get("url")
        scheme = urlsplit(url.get_secret_value()).scheme if url else None
        if (value, scheme) in {("on", "redis"), ("off", "rediss")}:
            raise ValueError("contradicts REDIS_URL: rediss:// is with TLS, redis:// without")
        return value


class DramatiqSettings(Section):
    """Background jobs."""

    model_config = SettingsConfigDict(env_prefix="DRAMATIQ_")
    broker: Literal["redis", "rabbitmq"] = Field("redis", description="Message broker of the jobs.")
    rabbitmq_url: SecretStr | None = Field(
        None,
        validate_default=True,
        description="`amqp://user:password@host:port/vhost`. The broker `rabbitmq` requires it.",
    )
    processes: int = Field(1, ge=1, le=64, description="Worker processes.")
    threads: int = Field(4, ge=1, le=64, description="Concurrent jobs in one worker process.")

    @field_validator("rabbitmq_url")
    @classmethod
    def _is_rabbitmq_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            if info.data.get("broker") == "rabbitmq":
                raise ValueError("must be amqp://user:password@host:port/vhost when DRAMATIQ_BROKER=rabbitmq")
        elif not is_url(value.get_secret_value(), RABBITMQ_SCHEMES):
            raise ValueError("must be amqp://user:password@host:port/vhost, or amqps:// (with TLS)")
        return value
