"""The fork server has loaded the code of all readers, and forks one parser for each file.

A worker starts it as a program of its own, with a Unix socket as standard input (`parser_processes.py`). Each message
on that socket is JSON with the arguments of a parser (`child.py`) and its niceness, and comes with four descriptors:
the parser's standard input, output and error output, and its control socket. On the control socket this process sends
two lines: the parser's process id, and at the end its exit status. If the worker closes its end, the parser is killed.

This process never reads a file. What a parser does to its memory is lost when the parser ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from fastapi_ignite.infra.sandbox.kernel import prevent_dumps
from fastapi_ignite.rag.extraction import child
from fastapi_ignite.rag.extraction.readers import load_code

_MESSAGE_BYTES: Final = 64 * 1024
_STANDARD_STREAMS: Final = 3
_OPEN_FILES: Final = 1024


class ForkServer:
    """Forks parsers until the worker has closed its end of `requests` and the last parser has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._controls: dict[int, socket.socket] = {}  # by the parser's process id
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        woken, self._wakes = socket.socketpair()
        woken.setblocking(False)
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(woken, selectors.EVENT_READ)
        self._selector.register(self._requests, selectors.EVENT_READ)
        accepting = True
        while accepting or self._controls:
            for key, _ in self._selector.select():
                if key.fileobj is woken:
                    woken.recv(_MESSAGE_BYTES)
                elif key.fileobj is self._requests:
                    accepting = self._accept()
                else:
                    self._abandon(key.data)
            self._collect_ended()

    def _accept(self) -> bool:
        """Start the parser that the next message asks for. Return False if the worker has gone."""
        message, descriptors, _, _ = socket.recv_fds(self._requests, _MESSAGE_BYTES, _STANDARD_STREAMS + 1)
        if not message:
            self._selector.unregister(self._requests)
            return False
        *streams, control = descriptors
        request = json.loads(message)
        try:
            pid = os.fork()
        except OSError:  # The machine has no memory or no process id left. The worker sees that its socket is closed.
            os.close(control)
            return True
        else:
            if pid == 0:
                _become_parser(request, streams)
            self._controls[pid] = socket.socket(fileno=control)
            self._selector.register(control, selectors.EVENT_READ, pid)
            self._tell(pid, pid)
            return True
        finally:
            for stream in streams:
                os.close(stream)

    def _abandon(self, pid: int) -> None:
        """Kill a parser whose worker does not wait any more."""
        self._selector.unregister(self._controls[pid])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _collect_ended(self) -> None:
        while self._controls:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._tell(pid, os.waitstatus_to_exitcode(status))
            with self._controls.pop(pid) as control, contextlib.suppress(KeyError):  # it was abandoned
                self._selector.unregister(control)

    def _tell(self, pid: int, number: int) -> None:
        with contextlib.suppress(OSError):  # the worker has closed its end
            self._controls[pid].sendall(b"%d\n" % number)


def _become_parser(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Run the parser in this forked process, with nothing open but its standard streams."""
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        signal.set_wakeup_fd(-1)
        os.closerange(_STANDARD_STREAMS, _OPEN_FILES)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.nice(request["niceness"])
        sys.argv[1:] = request["arguments"]
        child.main()
        status = 0
    except BaseException:  # noqa: BLE001  # as the interpreter does at the end of a program
        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    prevent_dumps()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most), most))
    requests = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # os.devnull is no Path
        os.dup2(nothing.fileno(), 0)
    load_code()
    gc.freeze()  # a collection in a parser would copy every page of this memory
    ForkServer(requests).serve()


if __name__ == "__main__":
    main()
