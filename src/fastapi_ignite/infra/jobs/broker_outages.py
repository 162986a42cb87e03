"""The log of a broker that is away. It is one line, where Dramatiq writes one per queue every three seconds."""

from __future__ import annotations

import logging
import time
from typing import Any, Self

import structlog
from dramatiq import Broker
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware
from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fastapi_ignite.core.outage_log import OutageLog

log = structlog.get_logger(__name__)


def broker_log() -> OutageLog:
    """Return the log of a broker's outages."""
    return OutageLog(log, away="job broker away", back="job broker back")


class OutageReportingRedis(Redis):
    """A client that reports each call without an answer to `outages`.

    Dramatiq retries after a broken connection, but takes an answer that is late for a defect of its own. So this
    client raises the error of a broken connection in both cases.
    """

    outages: OutageLog

    @classmethod
    def at(cls, url: str, outages: OutageLog, **options: Any) -> Self:
        """Return a client of the server at `url` which reports to this log."""
        client = cls(connection_pool=ConnectionPool.from_url(url, **options))
        client.outages = outages
        client.auto_close_connection_pool = True  # as a client made of an address does
        return client

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Send a command and return its answer."""
        began = time.monotonic()
        try:
            answer = super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]  # the client's
        except (RedisConnectionError, RedisTimeoutError) as error:
            self.outages.failed(error)
            raise RedisConnectionError(str(error)) from error
        self.outages.answered(began)
        return answer


class ConsumerLogFilter(Middleware):
    """Removes Dramatiq's log lines about lost connections and reports them to `outages`, which logs them once."""

    def __init__(self, outages: OutageLog) -> None:
        self._outages = outages

    def after_consumer_thread_boot(self, _broker: Broker, thread: Any) -> None:
        """Filter the logger that each consumer has for itself."""
        thread.logger.addFilter(self._is_no_outage)

    def _is_no_outage(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        lost = [argument for argument in arguments if isinstance(argument, BrokerConnectionError)]
        for error in lost:
            self._outages.failed(error)
        return not lost
