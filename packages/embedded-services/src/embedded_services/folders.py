"""The folders of an instance: control files in the data folder, and server data there or, if need be, in /var/lib."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError

# Root uses it if the users of the servers may not enter the folder of the program or of the data.
SHARED_FOLDER = Path("/var/lib/fastapi-ignite")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The data folder of an instance and the control files in it. The servers read and write none of them."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> DataFolder:
        # links are resolved, because processes are recognised by the path in their command line
        return cls(Path(path).expanduser().resolve())

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def users_lock(self) -> Path:
        """Return the lock that all users of the servers share. Who gets it exclusively knows that no user is left."""
        return self.run / "users.lock"

    @property
    def guardian_lock(self) -> Path:
        """Return the lock that the guardian holds for as long as it lives."""
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

    @property
    def postgres_settings(self) -> Path:
        """Return the file of settings that its user may write for PostgreSQL."""
        return self.root / "postgresql.conf"

    def prepare(self) -> None:
        """Create the folders. Root lets the users of the servers pass through them, but not list them."""
        try:
            self.root.mkdir(parents=True)
        except FileExistsError:
            pass  # the mode of an existing folder is kept
        else:
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)


def server_folder(data: DataFolder, accounts: Sequence[ServerAccount]) -> Path:
    """Return the folder that holds `postgres/` and `valkey/`. It is chosen once, at the first start."""
    if data.instance_id.exists():
        return _shared_folder(data)
    if (data.root / "postgres").exists() or all(_fits(data.root, account) for account in accounts):
        return data.root
    return _shared_folder(data)


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


def _shared_folder(data: DataFolder) -> Path:
    """Return a folder below /var/lib. Its name is the id in the data folder, so deleting the data folder resets all."""
    identifier = data.instance_id.read_text(encoding="utf-8").strip() if data.instance_id.exists() else ""
    if not identifier or _belongs_elsewhere(SHARED_FOLDER / identifier, identifier, data):
        identifier = uuid.uuid4().hex
        data.instance_id.write_text(f"{identifier}\n", encoding="utf-8")
    folder = SHARED_FOLDER / identifier
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
    """Return whether this data folder is a copy, whose original uses the folder: two must not share one cluster."""
    if not _origin(folder).exists():
        return False
    original = DataFolder(Path(_origin(folder).read_text(encoding="utf-8").strip()))
    if original.root == data.root or not original.instance_id.exists():
        return False
    return original.instance_id.read_text(encoding="utf-8").strip() == identifier
