"""Where an instance keeps what: control files in the data folder, server data there or, if it must, in /var/lib."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError

# Used by root only, when the folder of the program or of the data is closed to an account of the servers.
OPEN_PLACE = Path("/var/lib/fastapi-ignite")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The control side of an instance. Nothing here is read or written by the servers."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> DataFolder:
        # one spelling of the path, whichever link leads to it: processes are recognised by it
        return cls(Path(path).expanduser().resolve())

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def users_lock(self) -> Path:
        """Shared by every user of the servers; whoever gets it exclusively knows that nobody is left."""
        return self.run / "users.lock"

    @property
    def guardian_lock(self) -> Path:
        """Held by the guardian for life."""
        return self.run / "guardian.lock"

    @property
    def services(self) -> Path:
        return self.run / "services.json"

    @property
    def guardian_state(self) -> Path:
        return self.run / "guardian.json"

    @property
    def guardian_log(self) -> Path:
        return self.logs / "guardian.log"

    @property
    def instance_id(self) -> Path:
        return self.root / "instance-id"

    def prepare(self) -> None:
        """Root leaves the folder passable (not listable) for the accounts of the servers; users keep theirs closed."""
        try:
            self.root.mkdir(parents=True)
        except FileExistsError:
            pass  # its mode is its owner's choice
        else:
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)


def server_folder(data: DataFolder, accounts: Sequence[ServerAccount]) -> Path:
    """The folder that holds `postgres/` and `valkey/`; decided once, at the first start."""
    if data.instance_id.exists():
        return _open_folder(data)
    if (data.root / "postgres").exists() or all(_fits(data.root, account) for account in accounts):
        return data.root
    return _open_folder(data)


def _fits(folder: Path, account: ServerAccount) -> bool:
    if not account.can_enter(folder):
        return False
    probe = folder / f"owner-probe-{os.getpid()}"
    try:
        account.make_private_folder(probe)
    except PermissionError:
        return False
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    return True


def _open_folder(data: DataFolder) -> Path:
    """A folder of /var/lib named by the id in the data folder, so that deleting the data folder is a fresh start."""
    identifier = data.instance_id.read_text(encoding="utf-8").strip() if data.instance_id.exists() else ""
    if not identifier or _belongs_elsewhere(OPEN_PLACE / identifier, identifier, data):
        identifier = uuid.uuid4().hex
        data.instance_id.write_text(f"{identifier}\n", encoding="utf-8")
    folder = OPEN_PLACE / identifier
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        _origin(folder).write_text(f"{data.root}\n", encoding="utf-8")
    except OSError as error:
        raise EmbeddedServerError(
            f"{data.root} is closed to the user of the servers and {folder} cannot be made: {error.strerror}"
        ) from error
    return folder


def _origin(folder: Path) -> Path:
    return folder / "origin"


def _belongs_elsewhere(folder: Path, identifier: str, data: DataFolder) -> bool:
    """True for a copied data folder: the original still points here, and two stacks must not share one cluster."""
    if not _origin(folder).exists():
        return False
    original = DataFolder(Path(_origin(folder).read_text(encoding="utf-8").strip()))
    if original.root == data.root or not original.instance_id.exists():
        return False
    return original.instance_id.read_text(encoding="utf-8").strip() == identifier
