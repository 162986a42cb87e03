"""The Valkey server. It keeps nothing on disk."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar

from embedded_services import logfiles, processes
from embedded_services.account import ServerAccount
from embedded_services.server import EmbeddedServer
from embedded_services.state_files import LOOPBACK

READY_LINE = "Ready to accept connections"

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir .
pidfile valkey.pid
daemonize no
save ""
appendonly no
maxmemory-policy noeviction
# the command line keeps the name of this file, by which a server of this instance is recognised
set-proc-title no
always-show-logo no
"""


class ValkeyServer(EmbeddedServer):
    name: ClassVar[str] = "Valkey"
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_signals: ClassVar[list[tuple[signal.Signals, float]]] = [(signal.SIGTERM, 3), (signal.SIGKILL, 3)]
    hung_signals: ClassVar[list[tuple[signal.Signals, float]]] = [(signal.SIGTERM, 1), (signal.SIGKILL, 3)]
    probe: ClassVar[bytes] = b"PING\r\n"  # it answers that a password is missing

    def __init__(self, *, program: Path, folder: Path, account: ServerAccount, log: Path, password: str) -> None:
        super().__init__(folder=folder, account=account, log=log, password=password)
        self._program = program
        self._configuration = folder / "valkey.conf"
        self._pid_file = folder / "valkey.pid"

    def _command(self, port: int) -> list[str]:
        self.account.make_private_folder(self.folder)
        text = CONFIGURATION.format(host=LOOPBACK, port=port, password=self._password)
        self.account.write_private_file(self._configuration, text)
        self._pid_file.unlink(missing_ok=True)  # Valkey could not replace one that another user owns
        return [str(self._program), str(self._configuration)]

    def _is_ready(self) -> bool:
        return READY_LINE in logfiles.text_since(self.log, self._log_start)

    def _stop_leftover(self) -> None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return
        marker = str(self._configuration)
        if processes.is_running(pid, marker):
            processes.stop_by_pid(pid, marker, self.stop_signals)
