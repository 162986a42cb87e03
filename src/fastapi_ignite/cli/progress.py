"""Shows how far an upload of many files is: bars on a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_SECONDS = 5


class IngestProgress:
    """Writes to the error output, because the summary goes to the output. Threads may share it."""

    def __init__(self, *, files: int, byte_count: int, quiet: bool) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self._files = files
        self._bytes = byte_count
        self._sent_bytes = 0
        self._sent_files = self._completed = self._failed = 0
        self._lock = threading.Lock()
        self._next_line = time.monotonic() + LINE_SECONDS
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if self._console.is_terminal and not quiet:
            self._bars = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            for name, total in (("sent", byte_count), ("processed", files)):
                self._tasks[name] = self._bars.add_task(name, total=max(total, 1), text="")

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._show(last=True)
        if self._bars:
            self._bars.stop()

    def add_bytes(self, count: int) -> None:
        """Count bytes that were sent; a negative number takes back what must be sent again."""
        with self._lock:
            self._sent_bytes += count
        self._show()

    def add_sent(self, files: int) -> None:
        """Count files that the server has accepted, now or in an earlier run."""
        with self._lock:
            self._sent_files += files
        self._show()

    def set_processed(self, *, completed: int, failed: int) -> None:
        """Say how many files are finished."""
        with self._lock:
            self._completed, self._failed = completed, failed
        self._show()

    def note(self, text: str) -> None:
        """Print a line, for example why nothing happens."""
        self._console.print(text, markup=False)

    def _show(self, *, last: bool = False) -> None:
        if self._bars:
            sent = f"{decimal(self._sent_bytes)} of {decimal(self._bytes)}, {self._sent_files:,} files"
            failed = f", {self._failed:,} failed" if self._failed else ""
            done = f"{self._completed + self._failed:,} of {self._files:,} files{failed}"
            self._bars.update(self._tasks["sent"], completed=self._sent_bytes, text=sent)
            self._bars.update(self._tasks["processed"], completed=self._completed + self._failed, text=done)
            return
        with self._lock:
            if not last and time.monotonic() < self._next_line:
                return
            self._next_line = time.monotonic() + LINE_SECONDS
        self.note(
            f"sent {self._sent_files:,} of {self._files:,} files ({decimal(self._sent_bytes)} of "
            f"{decimal(self._bytes)}); {self._completed:,} completed, {self._failed:,} failed"
        )
