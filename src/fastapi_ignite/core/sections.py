"""The settings by subsystem: one section each, one variable a field."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SECRET = "change-me"  # noqa: S105  the seed's development secret; production refuses it
ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@,]+")
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
COST = re.compile(r"(?P<operation>\w+)=(?P<units>[1-9][0-9]{0,3})")
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})


PostgresTls = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class Section(BaseSettings):
    """A group of variables that share a prefix. Unknown variables are left alone: the environment is not ours."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True, env_ignore_empty=True)


class AppSettings(Section):
    """The application and its address."""

    env: Literal["development", "test", "production"] = Field(
        "development",
        description="`production` turns the guards on (`python cli.py doctor --production` lists what they refuse).",
    )
    debug: bool = Field(
        default=False,
        description="Log at DEBUG, with tracebacks, and let debuggers of the same user attach. Callers never see it.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least level logged."
    )
    project_name: str = Field("FastAPI-Ignite", min_length=1, description="Shown in `app-info` and the API pages.")
    project_description: str = Field("A FastAPI application", description="Shown in `app-info` and the API pages.")
    version: str = Field("0.1.0", min_length=1, description="Shown in `app-info` and the API pages.")
    api_prefix: str = Field("/api", pattern=r"^/[a-z0-9/_-]*[a-z0-9]$", description="Where the API is mounted.")
    host: str = Field("127.0.0.1", min_length=1, description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    allow_insecure: bool = Field(
        default=False, description="Let a default secret listen on an address other than loopback (containers)."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks, comma-separated, whose `X-Forwarded-For` and `-Proto` are believed."
    )
    demo_items: Literal["on", "off"] | None = Field(
        None, description="The public item routes; default on, and off in production."
    )
    tenant_signup: Literal["open", "admin"] | None = Field(
        None,
        description="Who may create tenants: anyone, or who has an admin key; default open, and admin in production.",
    )
    errors_url: str = Field(
        "https://github.com/bakrianoo/fastapi-ignite/blob/main/docs/errors.md",
        pattern=r"^https?://[^\s#]+$",
        description="Page that explains the error codes; a problem's `type` is this, `#` and the code.",
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        proxies = tuple(proxy.strip() for proxy in value.split(",") if proxy.strip())
        try:
            for proxy in proxies:
                ip_network(proxy, strict=False)
        except ValueError:
            raise ValueError("takes addresses or networks like 10.0.0.0/8, comma-separated") from None
        return proxies

    @property
    def production(self) -> bool:
        """Whether the guards are on."""
        return self.env == "production"

    @property
    def items_enabled(self) -> bool:
        """Whether the public item routes exist."""
        return self.demo_items == "on" or (self.demo_items is None and not self.production)

    @property
    def signup_open(self) -> bool:
        """Whether anyone may create a tenant."""
        return self.tenant_signup == "open" or (self.tenant_signup is None and not self.production)


class CorsSettings(Section):
    """Browsers of other origins."""

    model_config = SettingsConfigDict(env_prefix="BACKEND_CORS_")
    origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that may call the API from a browser: comma-separated, or a JSON list."
    )

    @field_validator("origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            listed = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
            origins = tuple(origin.strip().rstrip("/") for origin in listed if origin.strip())
        except (ValueError, AttributeError):
            origins = ("",)
        if not all(map(ORIGIN.fullmatch, origins)):
            raise ValueError("takes * or origins like https://app.example.com, comma-separated or as a JSON list")
        return origins


class PostgresSettings(Section):
    """PostgreSQL. Neither `POSTGRES_HOST` nor `DATABASE_URL` given: the embedded server."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")
    host: str | None = Field(None, description="Outside server; unset means the embedded one.")
    port: int = Field(5432, ge=1, le=65535, description="Port of the outside server.")
    user: str = Field("postgres", min_length=1, description="Owner of the schema; runs the migrations.")
    password: SecretStr = Field(SecretStr(""), description="The owner's password.")
    db: str = Field("fastapi_ignite", min_length=1, description="Database name.")
    login_prefix: str = Field(
        "ignite",
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="The logins are this with `_api`, `_worker` and `_admin`; a second installation on the same server "
        "needs another one.",
    )
    api_password: SecretStr | None = Field(
        None, description="Password of the login of the API; derived from the owner's when not given."
    )
    worker_password: SecretStr | None = Field(
        None, description="Password of the login of worker and scheduler; derived from the owner's when not given."
    )
    admin_password: SecretStr | None = Field(
        None, description="Password of the login of the admin API; derived from the owner's when not given."
    )
    pool_size: int = Field(10, ge=1, le=200, description="Connections a process keeps; as many again under load.")
    pgbouncer_host: str | None = Field(
        None,
        description="pgbouncer in transaction mode for API, worker and scheduler; migrations go to the server itself.",
    )
    pgbouncer_port: int = Field(6432, ge=1, le=65535, description="Port of pgbouncer.")
    sslmode: PostgresTls | None = Field(
        None,
        description="TLS to the outside server, as in libpq; unset: tried, and not insisted on. Over a network "
        "production wants `require` or more, or `disable` on purpose. `sslmode` in `DATABASE_URL` beats it.",
    )
    pgbouncer_sslmode: PostgresTls | None = Field(None, description="The same to pgbouncer; unset: as to the server.")
    sslrootcert: str | None = Field(
        None,
        min_length=1,
        description="File of the certificate authorities that `verify-ca` and `verify-full` believe; unset or "
        "`system`: those of the machine. `sslrootcert` in `DATABASE_URL` beats it.",
    )

    @field_validator("login_prefix")
    @classmethod
    def _is_not_reserved(cls, value: str) -> str:
        if f"{value}_".startswith("pg_"):
            raise ValueError("takes a prefix that PostgreSQL does not keep for itself, like acme")
        return value


class DatabaseUrlSettings(Section):
    """The other way to name an outside PostgreSQL."""

    database_url: SecretStr | None = Field(
        None,
        description="`postgresql://owner:password@host:port/db?sslmode=verify-full`; beats the `POSTGRES_*` variables.",
    )


class RedisSettings(Section):
    """Redis or Valkey. Neither `REDIS_HOST` nor `REDIS_URL` given: the embedded server."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")
    url: SecretStr | None = Field(None, description="`redis://:password@host:port/db`; beats the parts below.")
    host: str | None = Field(None, description="Outside server; unset means the embedded one.")
    port: int = Field(6379, ge=1, le=65535, description="Port of the outside server.")
    password: SecretStr | None = Field(None, description="Password of the outside server.")
    db: int = Field(0, ge=0, le=15, description="Database number.")
    tls: Literal["on", "off"] | None = Field(
        None,
        description="TLS to the outside server; in `REDIS_URL` `rediss://` says it. Over a network production wants "
        "it, or `off` on purpose.",
    )

    @field_validator("url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_url(value.get_secret_value(), REDIS_SCHEMES):
            raise ValueError("takes redis://:password@host:port/db, rediss:// with TLS, or unix://")
        return value

    @field_validator("tls")
    @classmethod
    def _agrees_with_the_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        url: SecretStr | None = info.data.get("url")
        scheme = urlsplit(url.get_secret_value()).scheme if url else None
        if (value, scheme) in {("on", "redis"), ("off", "rediss")}:
            raise ValueError("says otherwise than REDIS_URL: rediss:// is with TLS, redis:// without")
        return value


class DramatiqSettings(Section):
    """Background work."""

    model_config = SettingsConfigDict(env_prefix="DRAMATIQ_")
    broker: Literal["redis", "rabbitmq"] = Field("redis", description="Message broker.")
    rabbitmq_url: SecretStr | None = Field(
        None, validate_default=True, description="`amqp://user:password@host:port/vhost`; wanted by `rabbitmq`."
    )
    processes: int = Field(1, ge=1, le=64, description="Worker processes.")
    threads: int = Field(4, ge=1, le=64, description="Jobs at a time in one worker process.")

    @field_validator("rabbitmq_url")
    @classmethod
    def _is_rabbitmq_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            if info.data.get("broker") == "rabbitmq":
                raise ValueError("DRAMATIQ_BROKER=rabbitmq wants amqp://user:password@host:port/vhost here")
        elif not _is_url(value.get_secret_value(), RABBITMQ_SCHEMES):
            raise ValueError("takes amqp://user:password@host:port/vhost, or amqps:// with TLS")
        return value


class CacheSettings(Section):
    """Caching of functions and responses."""

    model_config = SettingsConfigDict(env_prefix="CACHE_")
    backend_type: Literal["redis", "file", "memory"] = Field("redis", description="Where cached values live.")
    ttl_seconds: int = Field(300, ge=1, le=86400, description="Default lifetime of a cached value, in seconds.")
    negative_ttl_seconds: int = Field(
        10, ge=0, le=3600, description="For how many seconds a 'not found' is remembered; 0: not at all."
    )
    max_value_bytes: int = Field(2**20, ge=1024, le=2**26, description="Larger values are not stored.")
    timeout_seconds: float = Field(
        0.25, gt=0, le=5, description="Longest wait for the backend; then the value is loaded without it."
    )
    lock_seconds: float = Field(
        10, gt=0, le=300, description="How long one process may load a value before another may begin."
    )
    namespace: str = Field(
        "", pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="Stands before every key in a Redis that others use too."
    )
    memory_max_bytes: int = Field(2**26, ge=2**16, le=2**36, description="Bound of the memory backend, per process.")
    file_path: Path = Field(Path(".ignite/cache"), description="Folder of the file backend.")
    file_max_bytes: int = Field(2**28, ge=2**20, le=2**40, description="Bound of the file backend on the disk.")


class SchedulerSettings(Section):
    """Periodic work."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_")
    enabled: bool = Field(default=True, description="Run the periodic jobs (`cli.py scheduler`).")


class JwtSettings(Section):
    """Bearer tokens: signed with a shared secret, or with `JWT_JWKS_URL` by an identity provider."""

    model_config = SettingsConfigDict(env_prefix="JWT_")
    secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="HS256 secret; production wants at least 32 random bytes."
    )
    jwks_url: str | None = Field(
        None,
        max_length=2000,
        description="Address of the identity provider's key set: only RS256 and ES256 tokens signed by it count then.",
    )
    issuer: str | None = Field(None, min_length=1, max_length=500, description="What `iss` must be; unset: anything.")
    audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated; `aud` must hold one of them. Unset: anything."
    )
    leeway_seconds: int = Field(30, ge=0, le=300, description="Clock skew allowed in `exp`, `nbf` and `iat`.")
    max_lifetime_seconds: int | None = Field(
        None,
        ge=60,
        le=315_360_000,
        description="Longest time from now, and from `iat` where there is one, to a token's `exp`; when set, `exp` is "
        "required. Default none, and 86,400 (a day) in production.",
    )
    required_claims: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated claims a token must have, for example `exp,sub`; production adds `exp`."
    )
    tenant_claim: str = Field("tenant_id", min_length=1, max_length=200, description="Claim that names the tenant.")
    role_claim: str = Field(
        "role",
        min_length=1,
        max_length=200,
        description="Claim with `owner`, `admin`, `member` or `viewer`; a token without it is the owner's.",
    )
    scope_claim: str = Field(
        "scope",
        min_length=1,
        max_length=200,
        description="Claim with scopes, as a list or separated by blanks; it narrows the role.",
    )

    @field_validator("role_claim", "scope_claim")
    @classmethod
    def _claims_differ(cls, value: str, info: ValidationInfo) -> str:
        if value in {info.data.get("tenant_claim"), info.data.get("role_claim")}:
            raise ValueError("names a claim that another setting names already")
        return value

    @field_validator("audience", "required_claims", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not names:  # no audience at all would be any
            raise ValueError("takes at least one name")
        return names

    @field_validator("jwks_url")
    @classmethod
    def _jwks_address(cls, value: str | None) -> str | None:
        if value is not None and not (_is_url(value, frozenset({"https", "http"})) and urlsplit(value).hostname):
            raise ValueError("takes https://host/path")
        return value


class ApiKeySettings(Section):
    """Keys that tenants and administrators make."""

    model_config = SettingsConfigDict(env_prefix="API_KEY_")
    secret: SecretStr | None = Field(
        None,
        description="Keys are stored as HMAC-SHA256 under this secret; derived from `JWT_SECRET` when not given. "
        "Changing it ends every key.",
    )


class RateLimitSettings(Section):
    """Requests per minute."""

    model_config = SettingsConfigDict(env_prefix="RATE_LIMIT_")
    rpm: int = Field(120, ge=1, le=10**9, description="Requests a tenant may make in any rolling 60 s.")
    anonymous_rpm: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="The same for an address on public routes; default ten times `RATE_LIMIT_RPM`.",
    )
    costs: Annotated[dict[str, int] | None, NoDecode] = Field(
        None,
        description="What a request of an operation takes of the minute, where that is not 1: `ask=5,start_export=20`.",
    )

    @field_validator("costs", mode="before")
    @classmethod
    def _units_by_operation(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        costs = [COST.fullmatch(item.strip()) for item in value.split(",") if item.strip()]
        if not all(costs):
            raise ValueError("takes operations with 1 to 9999 units each, like ask=5,start_export=20")
        return {cost["operation"]: int(cost["units"]) for cost in costs if cost}

    @property
    def per_address(self) -> int:
        """The limit of anonymous callers."""
        return self.anonymous_rpm or min(10 * self.rpm, 10**9)


class BillingSettings(Section):
    """Who collects the money."""

    model_config = SettingsConfigDict(env_prefix="BILLING_")
    provider: Literal["none"] = Field("none", description="Billing provider; `none` grants every plan.")
    grace_days: int = Field(7, ge=0, le=90, description="Days an unpaid subscription is still served.")


class UploadSettings(Section):
    """Bounds on uploads."""

    model_config = SettingsConfigDict(env_prefix="UPLOAD_")
    max_file_bytes: int = Field(50 * 2**20, ge=1, le=2**31, description="Largest single file, in bytes.")
    max_request_bytes: int = Field(512 * 2**20, ge=1, le=2**40, description="Largest upload request, in bytes.")
    max_files: int = Field(2000, ge=1, le=2000, description="Files in one request.")
    max_queued_files: int = Field(5000, ge=1, le=10**6, description="Unfinished files a tenant may have.")
    max_stored_bytes: int = Field(20 * 2**30, ge=1, le=2**50, description="Bytes a tenant may keep in storage.")
    max_in_flight_bytes: int | None = Field(
        None,
        ge=1,
        le=2**41,
        description="Bytes that a tenant's uploads may have on their way at a time; default twice the largest request.",
    )

    @field_validator("max_in_flight_bytes")
    @classmethod
    def _holds_a_request(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < info.data.get("max_request_bytes", 0):
            raise ValueError("takes at least UPLOAD_MAX_REQUEST_BYTES: the largest request would never be accepted")
        return value

    @property
    def in_flight_bytes(self) -> int:
        """The bound on the bytes on their way."""
        return self.max_in_flight_bytes or 2 * self.max_request_bytes


class IgniteSettings(Section):
    """Where this stack keeps its files, and when a process of it counts as hung."""

    model_config = SettingsConfigDict(env_prefix="IGNITE_")
    data_dir: Path = Field(Path(".ignite"), description="Embedded servers, uploads and logs of this stack.")
    low_disk_bytes: int = Field(
        2 * 2**30, ge=0, le=2**60, description="With less free space for uploads, `health/ready` says `disk: low`."
    )
    hung_seconds: int = Field(
        30,
        ge=3,
        le=3600,
        description="`up` replaces a process, and an embedded server, without a sign of life for this long.",
    )
    start_seconds: int = Field(
        180, ge=3, le=3600, description="Time a process of `up` has from its start to its first sign of life."
    )


def _is_url(value: str, schemes: frozenset[str]) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and port != 0
