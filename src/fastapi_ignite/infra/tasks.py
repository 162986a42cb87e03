"""The periodic job of the infrastructure."""

from __future__ import annotations

from fastapi_ignite.infra.idempotency.store import remove_expired
from fastapi_ignite.infra.jobs import TaskContext, periodic

# One transaction removes so many keys, and one run as many as a thousand requests a second leave behind.
KEYS_A_BATCH, MAX_BATCHES = 5000, 60


@periodic(seconds=300)
async def clean(context: TaskContext) -> None:
    """Remove expired idempotency keys, and uploads that a crash cut off."""
    for _ in range(MAX_BATCHES):
        async with context.database.system() as session:
            removed = await remove_expired(session, limit=KEYS_A_BATCH)
        if removed < KEYS_A_BATCH:
            break
    await context.storage.remove_abandoned()
