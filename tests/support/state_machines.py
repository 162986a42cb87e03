"""Helpers that run Hypothesis state machines against the database: their steps are synchronous functions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import URL, text

from fastapi_ignite.infra.db import Database

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MachineRunner:
    """An event loop and a database connection for all runs of one state machine."""

    database: Database
    loop: asyncio.AbstractEventLoop

    def run(self, step: Coroutine[None, None, Result]) -> Result:
        """Run a coroutine of a step until it ends."""
        return self.loop.run_until_complete(step)


@contextmanager
def machine_runner(url: URL) -> Iterator[MachineRunner]:
    """Open an event loop and a connection, and close them after the last run."""
    loop = asyncio.new_event_loop()
    database = Database(url, pool_size=1, application_name="machine")
    try:
        yield MachineRunner(database, loop)
    finally:
        loop.run_until_complete(database.close())
        loop.close()


async def put_plan(database: Database, plan_id: str, *, caps: tuple[int, int, int], price: int) -> None:
    """Insert or change a plan. `caps` are its limits of projects, messages and characters; `price` is for a month."""
    async with database.system() as session:
        await session.execute(
            text(
                "INSERT INTO plans "
                "(id, name, max_projects, monthly_message_cap, monthly_upload_char_cap, monthly_price) "
                "VALUES (:id, :id, :projects, :messages, :characters, :price) ON CONFLICT (id) DO UPDATE SET "
                "max_projects = excluded.max_projects, monthly_message_cap = excluded.monthly_message_cap, "
                "monthly_upload_char_cap = excluded.monthly_upload_char_cap, monthly_price = excluded.monthly_price"
            ),
            {"id": plan_id, "projects": caps[0], "messages": caps[1], "characters": caps[2], "price": price},
        )


def run_machine(machine: type[RuleBasedStateMachine], *, runs: int, steps: int) -> None:
    """Run the machine `runs` times, with up to `steps` steps each.

    A failing run is shown as it happened, because Hypothesis would need too long to shorten it.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
