"""Find out whether a transaction was committed when the connection broke during its COMMIT.

The server may have executed the COMMIT before the connection broke, or not. Code that undoes work after an error must
know which, because undoing committed work destroys it. `Database` calls this module, so callers see one of three
results: the transaction was committed (no error), it was rolled back (the original error), or the outcome is unknown
(`CommitOutcomeUnknownError`).
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

from fastapi_ignite.core.errors import Example, UnavailableError

# longer than a restart of the server takes, as the caller waits for it
PATIENCE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
ID_IN_THE_FUTURE = "22023"  # SQLSTATE of `pg_xact_status` for an id that was never assigned

# The first eight digits of a WAL file name are the timeline, which changes when a standby becomes the primary.
IDENTIFY = """
SELECT pg_current_xact_id_if_assigned()::text AS id, clock_timestamp() AS asked_at,
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline
"""

# A crash resets the statistics. Transactions that were not on disk are lost then, and their ids are assigned again.
_LOOK_UP = text("""
SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8)) AS status,
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) = :timeline
        AND coalesce((SELECT stats_reset FROM pg_stat_wal) < :asked_at, true) AS same_server
""")
log = structlog.get_logger(__name__)


class CommitOutcomeUnknownError(UnavailableError):
    """The connection broke during COMMIT, and the database cannot tell whether the transaction was committed.

    Do not undo anything after this error. The rows, bytes and units of the transaction may exist.
    """

    code = "commit_outcome_unknown"
    title = "It is not known whether the change was saved"
    example = Example(
        "The connection to the database broke while the change was saved. Send the request again with the same "
        "Idempotency-Key, so that it is not executed twice."
    )

    def __init__(self) -> None:
        super().__init__(self.example.detail, headers={"Retry-After": "5"})


class CommitOutcome(StrEnum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TransactionId:
    """The id of a transaction that wrote something, and the timeline of the server that ran it."""

    id: str
    asked_at: datetime
    timeline: str


async def find_outcome(engine: AsyncEngine, transaction: TransactionId) -> CommitOutcome:
    """Query the outcome over another connection. Retry for five seconds while the server is away or not finished."""
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
    except Exception:  # noqa: BLE001  whatever failed, the caller tries again
        return CommitOutcome.UNKNOWN
    if row.status == "aborted":
        return CommitOutcome.ROLLED_BACK
    return CommitOutcome.COMMITTED if row.status == "committed" and row.same_server else CommitOutcome.UNKNOWN
