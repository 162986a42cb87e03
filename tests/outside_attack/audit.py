"""The audit after an attack: the API's promises, the rows of PostgreSQL and the objects in storage must agree."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext, make_broker
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.tasks import end_expired_uploads
from fastapi_ignite.query.repository import fail_abandoned
from fastapi_ignite.tasks import sweep_storage
from fastapi_ignite.usage.repository import release_expired
from outside_attack.attacked_stack import AttackedStack
from outside_attack.tenants import PersistentTenant
from support.usage_records import books_of

# longer than the longest pause before a file's next attempt
MOST_SECONDS_WITHOUT_PROGRESS = 300
STORED = "SELECT storage_key FROM files WHERE storage_key IS NOT NULL AND byte_count > 0"


async def come_to_rest(stack: AttackedStack) -> float:
    """Wait until no file is in progress or being deleted, and return the seconds of the wait.

    A slow machine may take any time; only a stack whose files do not change any more fails.
    """
    began = progressed = time.monotonic()
    before: dict[str, int] = {}
    database = stack.database()
    try:
        while unfinished := await _unfinished(database):
            if unfinished != before:
                before, progressed = unfinished, time.monotonic()
            if time.monotonic() - progressed > MOST_SECONDS_WITHOUT_PROGRESS:
                raise AssertionError(f"not at rest: {unfinished}\n{stack.printed[-4000:]}")
            await asyncio.sleep(0.5)
        await _expire_what_is_held(stack, database)
    finally:
        await database.close()
    return time.monotonic() - began


async def _unfinished(database: Database) -> dict[str, int]:
    async with database.system() as session:
        rows = await session.execute(
            text(
                "SELECT state, count(*) FROM files "
                "WHERE state NOT IN ('completed', 'failed', 'cancelled', 'deleted') GROUP BY 1"
            )
        )
        return dict(rows.all())


async def _expire_what_is_held(stack: AttackedStack, database: Database) -> None:
    """Do what otherwise happens hours later, when what killed processes have left behind expires.

    Reservations and uploads end, and objects in storage become old enough for the sweep to delete them.
    """
    later = clock.now() + timedelta(hours=2)
    async with database.system() as session:
        await fail_abandoned(session, before=later)
        await release_expired(session, now=later)
        await session.execute(text("UPDATE uploads SET lease_until = now() - interval '1 s'"))
    context = TaskContext(
        settings=load_settings(env_file=None),
        database=database,
        storage=LocalStorage(stack.storage),
        jobs=JobQueue(make_broker(stack.addresses.redis_url)),
    )
    await end_expired_uploads.run(context)
    long_ago = time.time() - timedelta(hours=25).total_seconds()
    for path in (stack.storage / "objects").rglob("*"):
        if path.is_file():
            os.utime(path, (long_ago, long_ago))
    await sweep_storage.run(context)
    await sweep_storage.run(context)  # the first run may have continued an earlier one in the middle
    context.jobs.close()


async def find_faults(stack: AttackedStack, tenants: Sequence[PersistentTenant]) -> list[str]:
    """Compare promises, rows and stored objects, and return a sentence for each difference."""
    database = stack.database()
    try:
        faults = [fault for tenant in tenants for fault in await _faults_of(database, tenant)]
        return faults + await _orphans(stack, database)
    finally:
        await database.close()


async def _faults_of(database: Database, tenant: PersistentTenant) -> list[str]:
    faults: list[str] = []
    files = await tenant.files()
    times = Counter(file["filename"] for file in files)
    expected = tenant.uploaded.keys() - tenant.removed
    faults += [f"{name} is there {times[name]} times" for name in expected if times[name] != 1]
    faults += [f"{name} was never acknowledged or was removed" for name in times if name not in expected]
    faults += [f"{file['filename']}: {file['status']} {file['last_error']}" for file in files if not _is_right(file)]
    faults += [
        f"{file['filename']} has {file['characters']} characters, not {tenant.uploaded[file['filename']]}"
        for file in files
        if file["status"] == "completed" and file["characters"] != tenant.uploaded.get(file["filename"])
    ]
    books = await books_of(database, tenant.id)
    if not books.add_up() or +books.reserved:
        faults.append(f"the books differ: {books}")
    async with database.tenant(tenant.id) as session:
        answers = await session.scalar(text("SELECT count(*) FROM messages WHERE role = 'assistant'"))
    used = (await tenant.limits())["usage"]
    characters = sum(tenant.uploaded.values())
    if used["messages_used"] != tenant.asked or answers != tenant.asked:
        faults.append(f"{tenant.asked} questions, {answers} answers, {used['messages_used']} messages charged")
    if used["chars_uploaded"] != characters:
        faults.append(f"{characters} characters uploaded, {used['chars_uploaded']} charged")
    return faults


def _is_right(file: dict[str, object]) -> bool:
    return file["status"] == "completed"


async def _orphans(stack: AttackedStack, database: Database) -> list[str]:
    """Return a sentence for each stored object without a row, and for each row without its object."""
    async with database.system() as session:
        keys = set((await session.scalars(text(STORED))).all())
    folder = stack.storage / "objects"
    objects = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    exports = {key for key in objects if "export" in key}
    return [f"no row has the object {key}" for key in sorted(objects - keys - exports)] + [
        f"the object {key} is missing" for key in sorted(keys - objects)
    ]
