"""The one thread of a process that sends to the broker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog

Result = TypeVar("Result")
Call = tuple["Future[Any]", Callable[[], Any]]
log = structlog.get_logger(__name__)


class SenderThread:
    """Runs calls one after the other. Connections to RabbitMQ belong to the thread that opened them.

    It is a daemon, unlike the threads of an executor: a broker that never answers must not keep the process alive.
    """

    def __init__(self, *, idle: Callable[[], None], idle_seconds: float, failed: Callable[[], None]) -> None:
        """`idle` is called while there is nothing to do, and `failed` after a call or `idle` raised an error."""
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._idle = idle
        self._idle_seconds = idle_seconds
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name="job-sender", daemon=True)
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Return the call's future. Cancelling it removes a call that has not begun.

        Raises:
            RuntimeError: The thread was stopped.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("stopped")
            if self._thread.ident is None:
                self._thread.start()
            self._calls.put((future, call))
        return future

    def stop(self) -> None:
        """End the thread after the calls it was given."""
        with self._lock:
            self._stopped = True
            self._calls.put(None)

    def _run(self) -> None:
        while True:
            try:
                item = self._calls.get(timeout=self._idle_seconds)
            except queue.Empty:
                self._be_idle()
                continue
            if item is None:
                return
            self._answer(*item)

    def _be_idle(self) -> None:
        try:
            self._idle()
        except Exception as error:  # noqa: BLE001  the next call opens another connection
            log.debug("connection to the broker not kept", error=type(error).__name__)
            self._recover()

    def _recover(self) -> None:
        try:
            self._failed()
        except Exception as error:  # noqa: BLE001  what is broken may be broken in any way
            log.debug("connection to the broker not dropped", error=type(error).__name__)

    def _answer(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  whoever waits for the future is told
            self._recover()
            future.set_exception(error)
        else:
            future.set_result(result)
