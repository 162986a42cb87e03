"""The settings in one section for each subsystem. Each field is one environment variable."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fastapi_ignite import __version__

DEVELOPMENT_SECRET = "change-me"  # noqa: S105  the seed's development secret; production refuses it
ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@,]+")
# earlier versions of a file whose bytes are kept
VERSIONS_KEPT = 5
COST = re.compile(r"(?P<operation>\w+)=(?P<units>[1-9][0-9]{0,3})")


class Section(BaseSettings):
    """A group of variables that share a prefix. Unknown variables are ignored, as other programs use them too."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True, env_ignore_empty=True)


class AppSettings(Section):
    """The application and its address."""

    env: Literal["development", "test", "production"] = Field(
        "development",
        description="`production` switches its checks on (`python cli.py doctor --production` lists what they refuse).",
    )
    debug: bool = Field(
        default=False,
        description="Log at level DEBUG, and let debuggers of the same user attach. Callers see no difference.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Lowest level that is logged."
    )
    project_name: str = Field("FastAPI-Ignite", min_length=1, description="Shown in `app-info` and the API pages.")
    project_description: str = Field("A FastAPI application", description="Shown in `app-info` and the API pages.")
    version: str = Field(__version__, min_length=1, description="Shown in `app-info` and the API pages.")
    api_prefix: str = Field("/api", pattern=r"^/[a-z0-9/_-]*[a-z0-9]$", description="Path prefix of the API.")
    host: str = Field("127.0.0.1", min_length=1, description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    allow_insecure: bool = Field(
        default=False, description="Allow the default secret on an address other than loopback (for containers)."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated addresses or networks whose `X-Forwarded-For` and `-Proto` are trusted.",
    )
    demo_items: Literal["on", "off"] | None = Field(
        None, description="The public item routes. Default: `on`, but `off` in production."
    )
    tenant_signup: Literal["open", "admin"] | None = Field(
        None,
        description="Who may create tenants: anyone (`open`), or holders of an admin key (`admin`). Default: `open`, "
        "but `admin` in production.",
    )
    errors_url: str = Field(
        "https://github.com/bakrianoo/fastapi-ignite/blob/main/docs/errors.md",
        pattern=r"^https?://[^\s#]+$",
        description="Page that explains the error codes. The `type` of a problem is this URL, `#` and the code.",
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
            raise ValueError("must be comma-separated addresses or networks like 10.0.0.0/8") from None
        return proxies

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def items_enabled(self) -> bool:
        return self.demo_items == "on" or (self.demo_items is None and not self.production)

    @property
    def signup_open(self) -> bool:
        return self.tenant_signup == "open" or (self.tenant_signup is None and not self.production)


class CorsSettings(Section):
    """Browsers of other origins (CORS)."""

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
            raise ValueError("must be * or origins like https://app.example.com, comma-separated or as a JSON list")
        return origins


class CacheSettings(Section):
    """Caching of functions and responses."""

    model_config = SettingsConfigDict(env_prefix="CACHE_")
    backend_type: Literal["redis", "file", "memory"] = Field("redis", description="Where cached values are stored.")
    ttl_seconds: int = Field(300, ge=1, le=86400, description="Default lifetime of a cached value, in seconds.")
    negative_ttl_seconds: int = Field(
        10, ge=0, le=3600, description="For how many seconds a 'not found' is cached. 0 switches it off."
    )
    max_value_bytes: int = Field(2**20, ge=1024, le=2**26, description="Larger values are not cached.")
    timeout_seconds: float = Field(
        0.25, gt=0, le=5, description="Longest wait for the backend. Then the value is loaded without the cache."
    )
    lock_seconds: float = Field(
        10, gt=0, le=300, description="How long one process may load a value before another one may load it too."
    )
    namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="Prefix of every key, for a Redis that other programs use too.",
    )
    memory_max_bytes: int = Field(
        2**26, ge=2**16, le=2**36, description="Size limit of the memory backend, for each process."
    )
    file_path: Path = Field(Path(".ignite/cache"), description="Folder of the file backend.")
    file_max_bytes: int = Field(2**28, ge=2**20, le=2**40, description="Size limit of the file backend.")


class SchedulerSettings(Section):
    """Periodic jobs."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_")
    enabled: bool = Field(default=True, description="Run the periodic jobs (`cli.py scheduler`).")


class JwtSettings(Section):
    """Bearer tokens, signed with a shared secret or, with `JWT_JWKS_URL`, by an identity provider."""

    model_config = SettingsConfigDict(env_prefix="JWT_")
    secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="HS256 secret. Production requires at least 32 random bytes."
    )
    jwks_url: str | None = Field(
        None,
        max_length=2000,
        description="URL of the identity provider's key set. Then only its RS256 and ES256 tokens are valid.",
    )
    issuer: str | None = Field(None, min_length=1, max_length=500, description="Required value of `iss`. Unset: any.")
    audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated values of which `aud` must contain one. Unset: any."
    )
    leeway_seconds: int = Field(30, ge=0, le=300, description="Clock skew allowed in `exp`, `nbf` and `iat`.")
    max_lifetime_seconds: int | None = Field(
        None,
        ge=60,
        le=315_360_000,
        description="Longest time from now, and from `iat` if present, to a token's `exp`. When it is set, `exp` is "
        "required. Default: none, but 86,400 (a day) in production.",
    )
    required_claims: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated claims that a token must have, for example `exp,sub`. Production adds `exp`."
    )
    tenant_claim: str = Field("tenant_id", min_length=1, max_length=200, description="Claim with the tenant's id.")
    role_claim: str = Field(
        "role",
        min_length=1,
        max_length=200,
        description="Claim with `owner`, `admin`, `member` or `viewer`. A token without it has the owner's rights.",
    )
    scope_claim: str = Field(
        "scope",
        min_length=1,
        max_length=200,
        description="Claim with scopes, as a list or separated by spaces. It restricts the role.",
    )

    @field_validator("role_claim", "scope_claim")
    @classmethod
    def _claims_differ(cls, value: str, info: ValidationInfo) -> str:
        if value in {info.data.get("tenant_claim"), info.data.get("role_claim")}:
            raise ValueError("must not be a claim that another setting uses")
        return value

    @field_validator("audience", "required_claims", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not names:  # no audience at all would accept any
            raise ValueError("must have at least one name")
        return names

    @field_validator("jwks_url")
    @classmethod
    def _jwks_address(cls, value: str | None) -> str | None:
        if value is not None and not (is_url(value, frozenset({"https", "http"})) and urlsplit(value).hostname):
            raise ValueError("must be https://host/path")
        return value


class ApiKeySettings(Section):
    """API keys of tenants, and admin keys."""

    model_config = SettingsConfigDict(env_prefix="API_KEY_")
    secret: SecretStr | None = Field(
        None,
        description="Keys are stored as HMAC-SHA256 with this secret. Unset: derived from `JWT_SECRET`. "
        "Changing it invalidates every key.",
    )


class RateLimitSettings(Section):
    """Requests per minute."""

    model_config = SettingsConfigDict(env_prefix="RATE_LIMIT_")
    rpm: int = Field(120, ge=1, le=10**9, description="Requests that a tenant may make in any rolling 60 s.")
    anonymous_rpm: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="The same for an address on public routes. Default: ten times `RATE_LIMIT_RPM`.",
    )
    costs: Annotated[dict[str, int] | None, NoDecode] = Field(
        None,
        description="How many requests one request of an operation counts as, if not 1: `ask=5,start_export=20`.",
    )
    event_streams: int = Field(
        20, ge=1, le=10_000, description="Streams of file events that a tenant may have open at each API process."
    )

    @field_validator("costs", mode="before")
    @classmethod
    def _units_by_operation(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        costs = [COST.fullmatch(item.strip()) for item in value.split(",") if item.strip()]
        if not all(costs):
            raise ValueError("must be operations with 1 to 9999 units each, like ask=5,start_export=20")
        return {cost["operation"]: int(cost["units"]) for cost in costs if cost}

    @property
    def per_address(self) -> int:
        """Return the limit of requests per minute for callers without a token."""
        return self.anonymous_rpm or min(10 * self.rpm, 10**9)


class BillingSettings(Section):
    """Billing."""

    model_config = SettingsConfigDict(env_prefix="BILLING_")
    provider: Literal["none"] = Field("none", description="Billing provider. `none` grants every plan without payment.")
    grace_days: int = Field(7, ge=0, le=90, description="Days for which an unpaid subscription still works.")


class RetentionSettings(Section):
    """How long is kept what nothing needs any more."""

    model_config = SettingsConfigDict(env_prefix="RETENTION_")
    reservation_days: int = Field(
        90,
        ge=0,
        le=3650,
        description="Days that ended reservations of units are kept. 0 keeps them for ever. The usage ledger, which "
        "says what was counted, is kept as long as the tenant.",
    )
    audit_days: int = Field(
        400,
        ge=0,
        le=36_500,
        description="Days that events of the audit are kept, 30 at least. 0 keeps them for ever.",
    )
    receipt_days: int = Field(
        1095,
        ge=0,
        le=36_500,
        description="Days that receipts of completed deletions are kept, 2 at least. 0 keeps them for ever. The "
        "tokens of an erased tenant are refused as such for as long.",
    )

    @field_validator("audit_days", "receipt_days")
    @classmethod
    def _is_not_too_short(cls, value: int, info: ValidationInfo) -> int:
        least = 30 if info.field_name == "audit_days" else 2
        if 0 < value < least:
            raise ValueError(f"must be 0 or at least {least}")
        return value


class UploadSettings(Section):
    """Limits on uploads."""

    model_config = SettingsConfigDict(env_prefix="UPLOAD_")
    max_file_bytes: int = Field(50 * 2**20, ge=1, le=2**31, description="Largest single file, in bytes.")
    max_request_bytes: int = Field(512 * 2**20, ge=1, le=2**40, description="Largest upload request, in bytes.")
    max_files: int = Field(2000, ge=1, le=2000, description="Largest number of files in one request.")
    max_queued_files: int = Field(5000, ge=1, le=10**6, description="Unfinished files that a tenant may have.")
    max_stored_bytes: int = Field(20 * 2**30, ge=1, le=2**50, description="Bytes that a tenant may keep in storage.")
    max_in_flight_bytes: int | None = Field(
        None,
        ge=1,
        le=2**41,
        description="Bytes that a tenant may upload at the same time. Default: twice the largest request.",
    )

    @field_validator("max_in_flight_bytes")
    @classmethod
    def _holds_a_request(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < info.data.get("max_request_bytes", 0):
            raise ValueError(
                "must be at least UPLOAD_MAX_REQUEST_BYTES, or the largest request would always be refused"
            )
        return value

    @property
    def in_flight_bytes(self) -> int:
        """Return the limit of the bytes that a tenant may upload at the same time."""
        return self.max_in_flight_bytes or 2 * self.max_request_bytes


class FileSettings(Section):
    """Versions of files."""

    model_config = SettingsConfigDict(env_prefix="FILE_")
    versions_kept: int = Field(
        VERSIONS_KEPT,
        ge=0,
        le=100,
        description="Earlier versions of a file whose bytes are kept, so that they can be restored.",
    )


class IgniteSettings(Section):
    """Files and processes of this stack."""

    model_config = SettingsConfigDict(env_prefix="IGNITE_")
    data_dir: Path = Field(Path(".ignite"), description="Folder of the embedded servers, uploads and logs.")
    low_disk_bytes: int = Field(
        2 * 2**30, ge=0, le=2**60, description="With less free space for uploads `health/ready` reports `disk: low`."
    )
    hung_seconds: int = Field(
        30,
        ge=3,
        le=3600,
        description="`up` replaces a process or embedded server that gave no heartbeat for this long.",
    )
    start_seconds: int = Field(
        180, ge=3, le=3600, description="Longest time from the start of a process of `up` to its first heartbeat."
    )


def is_url(value: str, schemes: frozenset[str]) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and port != 0
