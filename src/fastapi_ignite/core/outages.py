"""Recognise exceptions which mean that a server or a disk is away, full or busy.

The SQLSTATE or the `errno` of an exception decides. So the command line and the log need not import the clients of
servers that they do not use.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fastapi_ignite.core.errors import IgniteError, UnavailableError


class OutOfSpaceError(UnavailableError):
    """A disk of the service or of its database is full."""

    code = "out_of_space"
    title = "No space left"


class StorageUnavailableError(UnavailableError):
    """The disk or the object store with the uploaded files cannot be read or written."""

    code = "storage_unavailable"
    title = "Storage unavailable"


class DatabaseReadOnlyError(UnavailableError):
    """The database accepts no writes: it is a standby during a failover, or it is configured as read-only."""

    code = "database_read_only"
    title = "The database is read-only at the moment"


class DatabaseBusyError(UnavailableError):
    """A statement was cancelled because of a deadlock, a serialization failure or a timeout."""

    code = "database_busy"
    title = "The database is busy"


@dataclass(frozen=True, slots=True)
class Outage:
    """`kind` is for the log, the other fields for the caller. `lasting`: retries fail until somebody repairs it."""

    kind: str
    error: type[UnavailableError]
    detail: str
    retry_after: int
    lasting: bool = True

    def as_error(self) -> UnavailableError:
        """Return the error to show to the caller."""
        return self.error(self.detail, headers={"Retry-After": str(self.retry_after)})


_AWAY: Final = Outage("database_away", UnavailableError, "The database cannot be reached. Try again.", 1)
_CROWDED: Final = Outage(
    "database_crowded", UnavailableError, "The database has no free connection for this request. Try again.", 1
)
_REFUSING: Final = Outage(
    "database_refuses", UnavailableError, "The database refuses connections from this service.", 30
)
_FAILING: Final = Outage("database_failing", UnavailableError, "The database lacks memory or cannot use its disk.", 10)
_FULL: Final = Outage("database_full", OutOfSpaceError, "The database's disk is full. Nothing was changed.", 30)
_READ_ONLY: Final = Outage(
    "database_read_only", DatabaseReadOnlyError, "The database is read-only at the moment. Nothing was changed.", 5
)
_BUSY: Final = Outage(
    "database_busy",
    DatabaseBusyError,
    "The request conflicted with others. Nothing was changed. Try again.",
    1,
    lasting=False,
)
_SILENT: Final = Outage("no_answer", DatabaseBusyError, "No answer came in time. Try again.", 1, lasting=False)
_DISK_FULL: Final = Outage("disk_full", OutOfSpaceError, "The service's disk is full. Nothing was stored.", 30)
_DISK_FAILING: Final = Outage(
    "disk_failing",
    StorageUnavailableError,
    "The service's storage cannot be used at the moment. Nothing was stored.",
    10,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html; a full code has priority over its class
_BY_SQLSTATE: Final = {
    "08": _AWAY,  # connection exception; pgbouncer sends it too
    "25006": _READ_ONLY,
    "25P03": _SILENT,  # idle_in_transaction_session_timeout
    "25P04": _SILENT,  # transaction_timeout
    "28": _REFUSING,  # a login that is unknown, locked, or has another password
    "3D000": _REFUSING,  # no database of this name
    "40000": _BUSY,
    "40001": _BUSY,  # serialization_failure
    "40003": _AWAY,  # statement_completion_unknown
    "40P01": _BUSY,  # deadlock_detected
    "53": _FAILING,  # insufficient resources
    "53100": _FULL,
    "53300": _CROWDED,
    "55P03": _BUSY,  # lock_not_available
    "57014": _SILENT,  # query_canceled, by statement_timeout
    "57P01": _AWAY,  # admin_shutdown
    "57P02": _AWAY,  # crash_shutdown
    "57P03": _AWAY,  # cannot_connect_now
    "57P04": _REFUSING,  # database_dropped
    "57P05": _AWAY,  # idle_session_timeout
    "58": _FAILING,  # errors of the system below PostgreSQL
}
_BY_ERRNO: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _DISK_FULL),
    **dict.fromkeys((errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE), _DISK_FAILING),
}
_ENDED_SESSION: Final = frozenset({"FATAL", "PANIC"})
_POOL_TIMEOUT: Final = "3o7r"  # SQLAlchemy's code for it: https://sqlalche.me/e/20/3o7r


def outage_of(error: BaseException) -> Outage | None:
    """Return the outage that this exception means, or None for a defect and for an error that names its own status.

    The causes of the exception count too, because clients wrap the driver's errors, and the driver wraps the system's.
    """
    if isinstance(error, UnavailableError):
        return Outage(error.code, type(error), error.detail, 1, lasting=False)
    if isinstance(error, IgniteError):
        return None
    causes = list(_with_causes(error))
    for recognise in (_by_sqlstate, _by_type):
        for cause in causes:
            if outage := recognise(cause):
                return outage
    return None


def reason_of(error: BaseException) -> str:
    """Return the first line of the message of the server or the operating system."""
    *_, first = _with_causes(error)
    text = (first.strerror if isinstance(first, OSError) else None) or str(first)
    return text.partition("\n")[0] or type(first).__name__


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = getattr(current, "orig", None) or current.__cause__


def _by_sqlstate(error: BaseException) -> Outage | None:
    state = getattr(error, "sqlstate", None)
    if not isinstance(state, str):
        return None
    if outage := _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2]):
        return outage
    # whatever its code, the server has refused or ended the session, for example as the database allows no connections
    return _REFUSING if getattr(error, "severity_en", None) in _ENDED_SESSION else None


def _by_type(error: BaseException) -> Outage | None:
    if isinstance(error, TimeoutError):
        return _SILENT
    if isinstance(error, ConnectionError) or getattr(error, "connection_invalidated", False):
        return _AWAY
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0)
    return _CROWDED if getattr(error, "code", None) == _POOL_TIMEOUT else None
