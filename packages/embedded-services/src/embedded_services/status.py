"""Reads the state of an instance without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from embedded_services.folders import DataFolder
from embedded_services.launch import guardian_is_running
from embedded_services.state_files import EmbeddedEndpoints, GuardianState


@dataclass(frozen=True, slots=True)
class EmbeddedStatus:
    """The state of the servers. `running` means that both answered last; the ports are kept when they stop."""

    running: bool
    phase: str
    guardian_pid: int | None
    postgres_pid: int | None
    postgres_port: int | None
    redis_pid: int | None
    redis_port: int | None
    last_error: str | None


def status(data_dir: Path) -> EmbeddedStatus:
    """Return the state of the servers. This starts nothing, creates nothing and takes no lock."""
    data = DataFolder.at(data_dir)
    endpoints = EmbeddedEndpoints.read(data.services)
    state = GuardianState.read(data.guardian_state)
    alive = state is not None and guardian_is_running(data, state.pid)
    return EmbeddedStatus(
        running=state is not None and alive and state.phase == "ready",
        phase=state.phase if state and (alive or state.phase == "failed") else "stopped",
        guardian_pid=state.pid if state and alive else None,
        postgres_pid=state.postgres_pid if state and alive else None,
        postgres_port=endpoints.postgres_port or None if endpoints else None,
        redis_pid=state.redis_pid if state and alive else None,
        redis_port=endpoints.redis_port or None if endpoints else None,
        last_error=state.error if state else None,
    )
