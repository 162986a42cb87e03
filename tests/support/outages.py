"""An installation on a database and a login that a test may break, and the log that is written meanwhile."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx2
from sqlalchemy import URL

from fastapi_ignite.admin.authenticator import AdminAuthenticator
from fastapi_ignite.api_keys.authenticator import ApiKeyAuthenticator
from fastapi_ignite.billing.tenant_access import TenantAccessReader
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.engines import build_engines
from support.databases import fetch

PASSWORD = "of-this-test-alone"


@dataclass(frozen=True, slots=True)
class BreakableDatabase:
    """A database whose API login belongs to this test, so that a test may break it without effect on others."""

    addresses: ServiceAddresses
    login: str

    @property
    def name(self) -> str:
        return str(self.addresses.owner_url.database)

    async def owner(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        """Run a statement as the server's owner, from another database."""
        return await fetch(self.server, statement, **parameters)

    async def inside(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the owner, in this database."""
        return await fetch(self.addresses.owner_url, statement)

    @property
    def server(self) -> URL:
        return self.addresses.owner_url.set(database="postgres")

    async def end_sessions(self) -> None:
        """End every session of the login, as an administrator or a restart of the server does."""
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :login"
        await self.owner(ended, login=self.login)


@asynccontextmanager
async def breakable_installation(
    own: ServiceAddresses, settings: Settings, state: AppState
) -> AsyncGenerator[tuple[BreakableDatabase, AppState]]:
    """Yield the state of an application on this migrated database, under a login with the rights of ignite_api."""
    login = f"api_{new_id().hex}"
    database = BreakableDatabase(own, login)
    await database.owner(f"CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{PASSWORD}' IN ROLE ignite_tenant")
    pool = Database(own.api_url.set(username=login, password=PASSWORD), pool_size=2)
    admin_pool = Database(own.admin_url, pool_size=1)
    try:
        yield (
            database,
            {
                **state,
                "database": pool,
                "admin_database": admin_pool,
                "tenants": TenantAccessReader(pool, settings.rate_limit.rpm),
                "api_keys": ApiKeyAuthenticator(pool, settings),
                "admins": AdminAuthenticator(admin_pool, settings),
                "engines": build_engines(pool, settings),
            },
        )
    finally:
        await pool.close()
        await admin_pool.close()
        await database.end_sessions()
        await database.owner(f"DROP ROLE {login}")


class LogText:
    """The text of a log, as an operator reads it."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def write(self, text: str) -> int:
        """Append the text, as a stream does."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing, because no text is held back; logging handlers call this."""

    @property
    def lines(self) -> list[str]:
        """Return all lines, with those of tracebacks."""
        return self.text.splitlines()

    def without_other_jobs(self) -> LogText:
        """Return the log without failed jobs: this process's worker also takes files that other tests left behind."""
        records = re.split(r"(?m)^(?=\d{4}-\d\d-\d\dT)", self.text)
        heads = [record.partition("\n")[0] for record in records]
        kept = [" job=" not in head or " outage=" in head for head in heads]
        return LogText("".join(itertools.compress(records, kept)))

    @property
    def tracebacks(self) -> int:
        """Return the number of tracebacks; those of one exception and its causes count as one."""
        links = ("The above exception was the direct cause", "During handling of the above exception")
        return self.text.count("Traceback (most recent call last)") - sum(map(self.text.count, links))

    @property
    def outages(self) -> set[str]:
        """Return the kinds of outages that the lines name."""
        return set(re.findall(r"\boutage=(\w+)", self.text))

    def failures(self) -> list[str]:
        """Return the lines of level warning and above, without tracebacks."""
        return [line for line in self.lines if any(f"[{level}" in line for level in ("warning", "error", "critical"))]


@contextmanager
def logged(settings: Settings) -> Iterator[LogText]:
    """Yield the log that is written until the block ends; at the end, lines of failed jobs are removed."""
    root = logging.getLogger()
    before = root.handlers, root.level
    lines = LogText()
    configure_logging(settings)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(lines)
    try:
        yield lines
    finally:
        lines.text = lines.without_other_jobs().text
        root.handlers, root.level = before


def statuses(answers: list[httpx2.Response]) -> dict[tuple[int, str], int]:
    """Return how many answers have each status and problem code."""
    counted: dict[tuple[int, str], int] = {}
    for answer in answers:
        key = (answer.status_code, answer.json().get("code", "") if answer.status_code >= 400 else "")
        counted[key] = counted.get(key, 0) + 1
    return counted
