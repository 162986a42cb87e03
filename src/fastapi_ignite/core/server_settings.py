"""Settings that limit the connections of an API process."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fastapi_ignite.core.sections import Section


class ServerSettings(Section):
    """Limits on connections, for each API process."""

    model_config = SettingsConfigDict(env_prefix="SERVER_")
    max_connections: int = Field(
        4096,
        ge=16,
        le=10**6,
        description="Open connections. Further ones get 503. The limit is lower if the process may open too few files.",
    )
    max_connections_per_client: int = Field(
        256,
        ge=1,
        le=10**6,
        description="Open connections from one IPv4 address or IPv6 /64 network. `TRUSTED_PROXIES` are not counted.",
    )
    max_url_bytes: int = Field(
        16 * 1024, ge=1024, le=60 * 1024, description="Longest path with its query. A longer one gets 414."
    )
    max_header_bytes: int = Field(
        64 * 1024, ge=4096, le=2**20, description="Size of the request line and the headers together. More gets 431."
    )
    max_headers: int = Field(100, ge=20, le=1000, description="Number of headers of one request. More gets 431.")
    header_seconds: float = Field(
        15,
        gt=0,
        le=300,
        description="Longest time until the headers are complete; then 408. A silent connection is closed after it.",
    )
    body_seconds: float = Field(
        30, gt=0, le=600, description="Longest pause between bytes of a body; then the answer is 408."
    )
    write_seconds: float = Field(
        30,
        gt=0,
        le=600,
        description="Longest time in which a caller reads nothing of its answer; then the connection is closed.",
    )
    keep_alive_seconds: float = Field(
        5,
        gt=0,
        le=600,
        description="Longest idle time between requests. It should be longer than your proxy keeps idle connections.",
    )

    @field_validator("max_header_bytes")
    @classmethod
    def _has_room_for_the_url(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("max_url_bytes", 0):
            raise ValueError("must be at least SERVER_MAX_URL_BYTES, which is a part of it")
        return value
