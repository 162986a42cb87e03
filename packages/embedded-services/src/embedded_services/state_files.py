"""The two files through which the guardian tells users where the servers are and how they fare."""

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
    """Where the servers listen. Kept in `services.json`, so that ports and passwords outlive a restart."""

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
        """New passwords; port 0 until a server has found one."""
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
        """None when the file is not there or was damaged by hand: the guardian then sets new passwords."""
        fields = _read_json(path)
        try:
            return cls(**fields) if fields else None
        except TypeError:
            return None

    def write(self, path: Path) -> None:
        _write_json(path, asdict(self))


@dataclass(frozen=True, slots=True)
class GuardianState:
    """The guardian's own account. It may be stale: believe `ready` only while `pid` is a living guardian."""

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
    """Readers see the old file or the new one, and only the owner sees either."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
