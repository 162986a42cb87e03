"""The id of a request, which goes along with the jobs that it causes, and the log line of each job."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any
from uuid import UUID

import structlog
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Interrupt, Middleware

REQUEST_ID = "request_id"
log = structlog.get_logger(__name__)


def trace() -> dict[str, str]:
    """Return the options of a message that name the request which sends it."""
    request_id = structlog.contextvars.get_contextvars().get(REQUEST_ID)
    return {REQUEST_ID: request_id} if isinstance(request_id, str) else {}


class JobFailedError(Exception):
    """A handler failed; the cause is its exception."""


class JobLogging(Middleware):
    """Logs one line for each job. It must be the first middleware: what the others log then carries the ids too.

    Values set here reach an async actor: its task copies the context of the worker thread that starts it.
    """

    def __init__(self) -> None:
        self._began = threading.local()

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Replace the ids of the message before by those of this one."""
        context = {"job": message.actor_name, "message_id": message.message_id}
        if isinstance(message.options.get(REQUEST_ID), str):
            context[REQUEST_ID] = message.options[REQUEST_ID]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**context)
        self._began.at = time.perf_counter()

    def after_process_message(
        self,
        _broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002  Dramatiq names it
        exception: BaseException | None = None,
    ) -> None:
        """Log how the job ended."""
        if exception is None:
            self._log(message, "done")
        elif isinstance(exception, Interrupt):
            self._log(message, "interrupted", error=type(exception).__name__)
        elif isinstance(exception, JobFailedError):
            cause = exception.__cause__
            self._log(message, "failed", logging.ERROR, error=type(cause).__name__, exc_info=cause)
        else:
            self._log(message, "failed", error=type(exception).__name__)

    def after_skip_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Log that another middleware did not let the job run."""
        self._log(message, "skipped")

    def _log(self, message: MessageProxy, outcome: str, level: int = logging.INFO, **values: Any) -> None:
        log.log(
            level,
            "job",
            outcome=outcome,
            milliseconds=round((time.perf_counter() - self._began.at) * 1000, 1),
            ids=[argument for argument in message.args if _is_id(argument)],
            **values,
        )
        structlog.contextvars.clear_contextvars()


def _is_id(argument: object) -> bool:
    try:
        UUID(str(argument))
    except ValueError:
        return False
    return True
