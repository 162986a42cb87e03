"""Reads the facts of each feature from its `tests/<feature>/contract.py`, for the tests that cover all features."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.infra.jobs import Job
from support.http_clients import TenantClient

TESTS = Path(__file__).parents[1]
Ids = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row that a job works on, in the state in which the job expects it.

    `insert` may use `:tenant`, `:id`, `:project` and `:state`.
    """

    table: str
    state: str
    insert: str


@dataclass(frozen=True, slots=True)
class RepeatableRequest:
    """A POST that takes an `Idempotency-Key`. Sent with the options `other`, it is a different request."""

    path: str
    status: int
    options: Mapping[str, Any]
    other: Mapping[str, Any]

    async def send(self, tenant: TenantClient, key: str, *, other: bool = False, **headers: str) -> httpx2.Response:
        """Send the request; if `key` is empty, send it without an `Idempotency-Key`."""
        sent = {"Idempotency-Key": key, **headers} if key else headers
        return await tenant.post(self.path, headers=sent, **(self.other if other else self.options))


async def _no_rows(tenant: TenantClient, word: str) -> Ids:
    del tenant, word
    return {}


async def _do_nothing(tenant: TenantClient) -> None:
    del tenant


async def _at_rest(tenant: TenantClient, ids: Ids) -> bool:
    del tenant, ids
    return True


@dataclass(frozen=True, slots=True)
class FeatureContract:
    """Facts about a feature for the tests in tests/http, tests/isolation and tests/audit.

    Attributes:
        least_role: the role with the fewest scopes that may call an operation, such as `GET /usage`.
        public: the beginnings of the paths that need no token.
        shared_ids: the names of parameters that take ids of no tenant.
        shared_tables: the tables that belong to no tenant, and why.
        job_rows: the row that each job works on.
        jobs_of_no_row: the jobs for which the database chooses the row, whatever the message names, or which change
            no row.
        repeatable: the requests that run once for each `Idempotency-Key`.
        perform_audited_actions: does everything once that the audit log records of the feature.
        create_rows: creates a row in each table of the feature. Every text that it sends contains the word. It returns
            the new ids by the names of the parameters that take them.
        is_at_rest: tells whether no worker changes these rows any more.
    """

    least_role: Mapping[str, Role] = field(default_factory=dict)
    public: tuple[str, ...] = ()
    shared_ids: frozenset[str] = frozenset()
    shared_tables: Mapping[str, str] = field(default_factory=dict)
    job_rows: Mapping[Job, JobRow] = field(default_factory=dict)
    jobs_of_no_row: frozenset[Job] = frozenset()
    repeatable: tuple[RepeatableRequest, ...] = ()
    perform_audited_actions: Callable[[TenantClient], Awaitable[None]] = _do_nothing
    create_rows: Callable[[TenantClient, str], Awaitable[Ids]] = _no_rows
    is_at_rest: Callable[[TenantClient, Ids], Awaitable[bool]] = _at_rest


@cache
def contracts() -> Mapping[str, FeatureContract]:
    """Return the contracts of all features by the names of their folders."""
    names = sorted(path.parent.name for path in TESTS.glob("*/contract.py"))
    return {name: import_module(f"{name}.contract").CONTRACT for name in names}
