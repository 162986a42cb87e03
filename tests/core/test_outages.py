"""Tests of which exceptions are outages, and of how often the log reports them."""

from __future__ import annotations

import errno
import socket
import ssl
import time

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.core.outage_log import OutageLog, TracebackLimit
from fastapi_ignite.core.outages import outage_of, reason_of
from fastapi_ignite.infra.db.role_connection import DatabaseUnreachableError, connect


def postgres_error(state: str, message: str = "said the server", severity: str = "ERROR") -> Exception:
    """Return the exception that the driver makes from an answer of PostgreSQL."""
    error: Exception = asyncpg.PostgresError.new({"C": state, "M": message, "S": severity, "V": severity})
    return error


def raised_from(cause: Exception) -> Exception:
    """Return an error that was raised from this one, as a library does with an error that it does not know."""
    try:
        raise RuntimeError("something went wrong") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (postgres_error("08006"), "database_away"),
        (postgres_error("08P01", "server_login_retry"), "database_away"),
        (postgres_error("57P01"), "database_away"),
        (postgres_error("57P03"), "database_away"),
        (postgres_error("53300"), "database_crowded"),
        (postgres_error("53200"), "database_failing"),
        (postgres_error("53100"), "database_full"),
        (postgres_error("58030"), "database_failing"),
        (postgres_error("28000"), "database_refuses"),
        (postgres_error("28P01"), "database_refuses"),
        (postgres_error("3D000"), "database_refuses"),
        (postgres_error("55000", severity="FATAL"), "database_refuses"),
        (postgres_error("42501", severity="FATAL"), "database_refuses"),
        (postgres_error("25006"), "database_read_only"),
        (postgres_error("40001"), "database_busy"),
        (postgres_error("40P01"), "database_busy"),
        (postgres_error("55P03"), "database_busy"),
        (postgres_error("57014"), "no_answer"),
        (DBAPIError("SELECT", None, postgres_error("53300")), "database_crowded"),
        (DBAPIError("SELECT", None, Exception("connection is closed"), connection_invalidated=True), "database_away"),
        (PoolTimeoutError("QueuePool limit", code="3o7r"), "database_crowded"),
        (raised_from(postgres_error("57P01")), "database_away"),
        (DatabaseUnreachableError(None, "no answer in time"), "database_away"),
        (ConnectionRefusedError(), "database_away"),
        (TimeoutError(), "no_answer"),
        (OSError(errno.ENOSPC, "full"), "disk_full"),
        (OSError(errno.EDQUOT, "full"), "disk_full"),
        (OSError(errno.EIO, "broken"), "disk_failing"),
        (OSError(errno.EMFILE, "too many"), "disk_failing"),
        (UnavailableError(), "unavailable"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, Exception) else value,
)
def test_outages(error: Exception, kind: str) -> None:
    outage = outage_of(error)
    assert outage is not None
    assert outage.kind == kind
    told = outage.as_error()
    assert told.status == 503
    assert int(told.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "error",
    [
        postgres_error("42P01"),
        postgres_error("42501"),
        postgres_error("23505"),
        postgres_error("22021"),
        postgres_error("55000"),
        postgres_error("XX000"),
        DBAPIError("SELECT", None, Exception("invalid input for query argument")),
        NoResultFound(),
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "not allowed"),
        ConfigurationError(),
        RuntimeError("a defect"),
    ],
    ids=lambda error: repr(error)[:60],
)
def test_defects_are_none(error: Exception) -> None:
    assert outage_of(error) is None


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), ssl.SSLError("bad certificate"), TimeoutError()]
)
async def test_whatever_keeps_a_connection_from_being_made_is_the_databases_outage(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(asyncpg, "connect", fail)
    with pytest.raises(DatabaseUnreachableError) as raised:
        await connect()
    outage = outage_of(raised.value)
    assert outage is not None
    assert outage.kind == "database_away"


def test_the_reason_is_what_the_server_said_in_one_line() -> None:
    said = postgres_error("53300", "too many connections\nDETAIL: of the role")
    assert reason_of(raised_from(said)) == "too many connections"
    assert reason_of(OSError(errno.ENOSPC, "No space left on device", "/secret/path")) == "No space left on device"
    assert reason_of(TimeoutError()) == "TimeoutError"


class TestTracebackLimit:
    """These tests cover the log processor that limits the number of tracebacks."""

    def test_one_a_minute_for_each_kind(self) -> None:
        limit = TracebackLimit(seconds=3600)
        first, again = (limit(None, "error", {"exc_info": postgres_error("57P01")}) for _ in range(2))
        other = limit(None, "error", {"exc_info": (OSError, OSError(errno.ENOSPC, "full"), None)})
        assert "exc_info" in first
        assert "exc_info" in other
        assert again == {"outage": "database_away", "reason": "said the server"}

    def test_again_when_the_time_is_over(self) -> None:
        limit = TracebackLimit(seconds=0)
        assert all("exc_info" in limit(None, "error", {"exc_info": postgres_error("57P01")}) for _ in range(2))

    def test_a_defect_keeps_each_of_its_own(self) -> None:
        limit = TracebackLimit(seconds=3600)
        defect = {"event": "unexpected error", "exc_info": RuntimeError("a defect")}
        assert [limit(None, "error", dict(defect)) for _ in range(2)] == [defect, defect]


class RecordingLogger:
    """Records the messages that a logger gets."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, event: str, **values: object) -> None:
        """Record the event and its number of failures."""
        self.messages.append(f"{event} {values['failures']}")

    def info(self, event: str) -> None:
        self.messages.append(event)


class TestOutageLog:
    """These tests cover the log lines about one server that fails and recovers."""

    def test_away_once_and_back_once(self) -> None:
        logger = RecordingLogger()
        outages = OutageLog(logger, away="away", back="back", seconds=3600)
        outages.answered()
        for _ in range(5):
            outages.failed(ConnectionError())
        outages.answered()
        outages.answered()
        assert logger.messages == ["away 1", "back"]

    def test_an_answer_to_a_call_from_before_the_failure_is_no_recovery(self) -> None:
        logger = RecordingLogger()
        outages = OutageLog(logger, away="away", back="back", seconds=3600)
        began = time.monotonic()
        outages.failed(ConnectionError())
        outages.answered(began)
        assert logger.messages == ["away 1"]
        outages.answered(time.monotonic())
        assert logger.messages == ["away 1", "back"]

    def test_one_that_comes_and_goes_is_not_told_again_at_once(self) -> None:
        logger = RecordingLogger()
        outages = OutageLog(logger, away="away", back="back", seconds=3600)
        for _ in range(5):
            outages.failed(ConnectionError())
            outages.answered()
        assert logger.messages == ["away 1", "back"]

    def test_a_line_a_minute_counts_what_it_stands_for(self) -> None:
        logger = RecordingLogger()
        outages = OutageLog(logger, away="away", back="back", seconds=0.2)
        outages.failed(ConnectionError())
        outages.failed(ConnectionError())
        time.sleep(0.25)
        outages.failed(ConnectionError())
        assert logger.messages == ["away 1", "away 2"]
