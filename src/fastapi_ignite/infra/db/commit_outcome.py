"""Finding out what became of a transaction when the answer to its COMMIT was lost.

The server may have carried the COMMIT out before the connection broke, or not. Whoever undoes work after an error has
to know which: undoing work that was committed destroys it. `Database` asks here, so callers see one of three ends: the
transaction committed (no error), it rolled back (the first error), or nobody can say (`CommitOutcomeUnknownError`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from fastapi_ignite.core.errors import UnavailableError

# longer than a restart of the server takes; the caller waits meanwhile
PATIENCE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
ID_IN_THE_FUTURE = "22023"  # what `pg_xact_status` raises for an id that was never given out

# The first eight digits of a WAL file's name are the timeline, which changes when a standby takes over.
IDENTIFY = """
SELECT pg_current_xact_id_if_assigned()::text AS id, clock_timestamp() AS asked_at,
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline
"""

# A crash resets the statistics. What had not reached the disk then is gone, and its transaction id is given out again.
_LOOK_UP = text("""
SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8)) AS status,
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) = :timeline
        AND coalesce((SELECT stats_reset FROM pg_stat_wal) < :asked_at, true) AS same_server
""")
log = structlog.get_logger(__name__)


class CommitOutcomeUnknownError(UnavailableError):
    """The connection broke during COMMIT, and the database does not say whether the transaction was carried out.

    Nothing may be undone after this error: rows, bytes and units of the transaction may be there.
    """

    code = "commit_outcome_unknown"
    title = "It is not known whether the change was saved"

    def __init__(self) -> None:
        super().__init__(
            "The connection to the database broke while the change was saved. Send the request again with the same "
            "Idempotency-Key: it is not carried out twice.",
            headers={"Retry-After": "5"},
        )


class CommitOutcome(StrEnum):
    """What became of a transaction."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TransactionId:
    """A transaction that wrote something, and the server it ran on."""

    id: str
    asked_at: datetime
    timeline: str


async def find_outcome(engine: AsyncEngine, transaction: TransactionId) -> CommitOutcome:
    """Ask over another connection, again and again while the server is away or still at work, for five seconds."""
    outcome = CommitOutcome.UNKNOWN
    pause = FIRST_PAUSE_SECONDS
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (outcome := await _look_up(engine, transaction)) is CommitOutcome.UNKNOWN:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    except TimeoutError:
        pass
    log.warning("the answer to a COMMIT was lost", outcome=outcome.value)
    return outcome


async def _look_up(engine: AsyncEngine, transaction: TransactionId) -> CommitOutcome:
    values = {"id": transaction.id, "timeline": transaction.timeline, "asked_at": transaction.asked_at}
    try:
        async with engine.connect() as connection:
            row = (await connection.execute(_LOOK_UP, values)).one()
    except DBAPIError as error:
        future = getattr(error.orig, "sqlstate", None) == ID_IN_THE_FUTURE
        return CommitOutcome.ROLLED_BACK if future else CommitOutcome.UNKNOWN
    except Exception:  # noqa: BLE001  the server is away, in whatever way: it is asked again
        return CommitOutcome.UNKNOWN
    if row.status == "aborted":
        return CommitOutcome.ROLLED_BACK
    return CommitOutcome.COMMITTED if row.status == "committed" and row.same_server else CommitOutcome.UNKNOWN
