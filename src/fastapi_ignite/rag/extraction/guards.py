"""Reports which guards confine a parser on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fastapi_ignite.infra.unprivileged_users import SHARED_PARSER_ID
from fastapi_ignite.rag.extraction.confinement import Guards
from fastapi_ignite.rag.extraction.process import probe_guards


@dataclass(frozen=True, slots=True)
class GuardReport:
    """Whether one guard holds, and what that means. SECURITY.md has the table of all cases."""

    guard: str
    holds: bool
    detail: str


async def examine_guards(*, debug: bool) -> list[GuardReport]:
    """Confine a child as a parser is confined, and report on each guard; `debug` is the setting DEBUG."""
    try:
        guards = await probe_guards()
    except (OSError, ValueError, TypeError) as error:
        return [GuardReport("parser", holds=False, detail=str(error))]
    return [_identity(guards), _landlock(guards), _seccomp(guards), _undumpable(guards, debug=debug)]


def _identity(guards: Guards) -> GuardReport:
    if guards.own_user == SHARED_PARSER_ID:
        detail = f"parsers share user {SHARED_PARSER_ID}: this machine maps no number for each"
        return GuardReport("identities", holds=True, detail=detail)
    if guards.own_user is not None:
        return GuardReport(
            "identities", holds=True, detail="each parser, Valkey and PostgreSQL have users of their own"
        )
    if os.geteuid() == 0:
        detail = "root may not change its user here, so parsers run as root: run as an ordinary user"
        return GuardReport("identities", holds=False, detail=detail)
    confined = bool(guards.landlock and guards.seccomp)
    detail = f"parsers and servers run as user {os.geteuid()}, as only root can give them users of their own"
    return GuardReport("identities", holds=confined, detail=detail)


def _landlock(guards: Guards) -> GuardReport:
    if guards.landlock:
        return GuardReport("landlock", holds=True, detail=f"parsers open no file (ABI {guards.landlock})")
    return GuardReport("landlock", holds=False, detail="missing: it needs Linux 5.13 and a container that allows it")


def _seccomp(guards: Guards) -> GuardReport:
    if guards.seccomp:
        return GuardReport("seccomp", holds=True, detail="parsers have no network, programs, signals or files")
    return GuardReport(
        "seccomp", holds=False, detail="missing: it needs Linux on x86_64 or aarch64 and a container that allows it"
    )


def _undumpable(guards: Guards, *, debug: bool) -> GuardReport:
    if debug:
        return GuardReport("undumpable", holds=False, detail="off while DEBUG is set: memory is open to the same user")
    if guards.undumpable:
        detail = "environment and memory are closed to the same user; no core dumps"
        return GuardReport("undumpable", holds=True, detail=detail)
    return GuardReport("undumpable", holds=False, detail="missing: it needs Linux")
