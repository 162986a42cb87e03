"""The two files in which the guardian tells the users where the servers are and in which state."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from embedded_services.errors import EmbeddedServerError

OWNER = "ignite_owner"
DATABASE = "ignite"
LOOPBACK = "127.0.0.1"

Phase = Literal["starting", "ready", "stopping", "failed"]


@dataclass(frozen=True, slots=True)
class EmbeddedEndpoints:
    """The addresses of the servers. `services.json` keeps them, so that ports and passwords outlive a restart."""

    postgres_host: str
    postgres_port: int
    postgres_user: str
    postgres_password: str = field(repr=False)
    postgres_database: str
    redis_host: str
    redis_port: int
    redis_password: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return endpoints with new passwords and with port 0, which the servers replace when they start."""
        return cls(
            postgres_host=LOOPBACK,
            postgres_port=0,
            postgres_user=OWNER,
            postgres_password=secrets.token_urlsafe(32),
            postgres_database=DATABASE,
            redis_host=LOOPBACK,
            redis_port=0,
            redis_password=secrets.token_urlsafe(32),
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return None if the file is missing or damaged. The guardian then sets new passwords."""
        fields = _read_json(path)
        try:
            return cls(**fields) if fields else None
        except TypeError:
            return None

    def write(self, path: Path) -> None:
        _write_json(path, asdict(self))


@dataclass(frozen=True, slots=True)
class GuardianState:
    """The state that the guardian reports. It is outdated if `pid` is no running guardian."""

    pid: int
    phase: Phase
    changed_at: float
    durable: bool
    error: str | None = None
    postgres_pid: int | None = None
    redis_pid: int | None = None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        fields = _read_json(path)
        try:
            return cls(**fields) if fields else None
        except TypeError:
            return None

    def write(self, path: Path) -> None:
        _write_json(path, asdict(self))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise EmbeddedServerError(f"{path} cannot be read: {error.strerror}") from error
    return content if isinstance(content, dict) else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, so that no reader sees half of it. Only the owner can read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
