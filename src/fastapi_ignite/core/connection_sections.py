"""The settings of the servers that the program connects to: PostgreSQL, Redis, the message broker and S3."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fastapi_ignite.core.sections import Section, is_url

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})
HTTP_SCHEMES = frozenset({"http", "https"})
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


class StorageSettings(Section):
    """The storage of uploaded files and exports."""

    model_config = SettingsConfigDict(env_prefix="STORAGE_")
    backend: Literal["local", "s3"] = Field(
        "local", description="`local`: a folder under `IGNITE_DATA_DIR`. `s3`: a bucket, see `S3_BUCKET`."
    )


class S3Settings(Section):
    """An S3-compatible object store, with `STORAGE_BACKEND=s3`."""

    model_config = SettingsConfigDict(env_prefix="S3_")
    bucket: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Bucket of the objects. It must exist. `STORAGE_BACKEND=s3` requires it.",
    )
    endpoint_url: str | None = Field(
        None, max_length=2000, description="`https://host:port` of the object store. Unset: AWS in `S3_REGION`."
    )
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,64}$", description="Region of the bucket.")
    access_key_id: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Access key. Unset: `AWS_ACCESS_KEY_ID`, a web identity, or the role of the container or machine.",
    )
    secret_access_key: SecretStr | None = Field(None, description="Secret of `S3_ACCESS_KEY_ID`.")
    prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$",
        max_length=200,
        description="Folder in the bucket, without a slash at its ends. Each installation needs one of its own.",
    )
    addressing: Literal["path", "virtual"] | None = Field(
        None,
        description="`virtual`: `https://bucket.host/key`. `path`: `https://host/bucket/key`. Default: `virtual`, but "
        "`path` with `S3_ENDPOINT_URL`.",
    )
    allow_http: bool = Field(
        default=False,
        description="Allow an `http://` endpoint. Production refuses one that is not on this machine.",
    )
    timeout_seconds: int = Field(
        30, ge=1, le=300, description="Longest wait for an answer, and for the next bytes of a download, in seconds."
    )

    @field_validator("endpoint_url")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value) if is_url(value, HTTP_SCHEMES) else None
        if parts is None or not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or "?" in value:
            raise ValueError("must be https://host:port, without a path, a user name or a bucket")
        return value.rstrip("/#")

    @property
    def path_style(self) -> bool:
        """Tell whether the bucket is part of the path, and not of the host name."""
        return self.addressing == "path" if self.addressing else self.endpoint_url is not None
