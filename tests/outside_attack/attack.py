"""One attack: tenants work, disasters strike one after the other, and an audit follows."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outside_attack import audit
from outside_attack.attacked_stack import AttackedStack
from outside_attack.disasters import DISASTERS
from outside_attack.tenants import Answers, PersistentTenant

RECOVERY_SECONDS = 150
WORK_SECONDS = 2.0


@dataclass
class Report:
    """Holds what an attack found."""

    answers: Answers = field(default_factory=Answers)
    faults: list[str] = field(default_factory=list)
    uploaded: int = 0
    asked: int = 0


async def attack(
    stack: AttackedStack,
    names: Sequence[str],
    *,
    tenants: int,
    at_once: int = 1,
    audit_every: int = 25,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run the named disasters in their order, `at_once` of them together, while tenants work.

    After every `audit_every` disasters, the attack waits until the stack is at rest, and audits it.
    """
    report = Report()
    callers = [PersistentTenant(stack.api, report.answers, seed) for seed in range(tenants)]
    for caller in callers:
        await caller.begin()
    try:
        for start in range(0, len(names), audit_every):
            async with _at_work(callers):
                end = min(start + audit_every, len(names))
                for first in range(start, end, at_once):
                    struck = names[first : min(first + at_once, end)]
                    say(f"{first + 1:3} {', '.join(struck):22} {await _strike(stack, struck, callers)}")
            seconds = await audit.come_to_rest(stack)
            report.faults += await audit.find_faults(stack, callers)
            say(f"    at rest after {seconds:.0f} s: {len(report.faults)} faults, {dict(report.answers.statuses)}")
    finally:
        for caller in callers:
            await caller.close()
    report.uploaded = sum(len(caller.uploaded) for caller in callers)
    report.asked = sum(caller.asked for caller in callers)
    return report


@asynccontextmanager
async def _at_work(callers: Sequence[PersistentTenant]) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.work(stopping))
        try:
            yield
        finally:
            stopping.set()


async def _strike(stack: AttackedStack, names: Sequence[str], callers: Sequence[PersistentTenant]) -> str:
    """Run these disasters, wait until every tenant can read and search again, and return what happened."""
    happened = await asyncio.gather(*(_disaster(stack, name) for name in names))
    began = time.monotonic()
    try:
        async with asyncio.timeout(RECOVERY_SECONDS):
            for caller in callers:
                await caller.read()
    except TimeoutError:
        raise AssertionError(
            f"{', '.join(names)}: no recovery in {RECOVERY_SECONDS} s\n{stack.printed[-4000:]}"
        ) from None
    return ", ".join(filter(None, (f"served again after {time.monotonic() - began:4.1f} s", *happened)))


async def _disaster(stack: AttackedStack, name: str) -> str:
    await asyncio.sleep(random.uniform(0, WORK_SECONDS))  # so that the disaster strikes at any point of the work
    return await DISASTERS[name](stack)
