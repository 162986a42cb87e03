"""The system user of each server. PostgreSQL refuses to run as root, so root gives each server another user."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOBODY_ID = 65_534
# Valkey's user when root starts it. No distribution gives this number, /etc/passwd needs no entry for it, and it exists
# in containers that map no more than 65,536 users.
VALKEY_ID = 65_530


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The user that a server runs as. `uid` is None if it is the user who started the program."""

    uid: int | None
    gid: int | None

    @classmethod
    def for_postgres(cls) -> ServerAccount:
        """Return PostgreSQL's account. For root it is `nobody`, because initdb needs a user that has a name."""
        if os.geteuid() != 0:
            return cls(None, None)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            return cls(NOBODY_ID, NOBODY_ID)
        return cls(nobody.pw_uid, nobody.pw_gid)

    @classmethod
    def for_valkey(cls) -> ServerAccount:
        """Return Valkey's account. For root it is a user that no other process has."""
        return cls(None, None) if os.geteuid() != 0 else cls(VALKEY_ID, VALKEY_ID)

    @property
    def popen_options(self) -> dict[str, Any]:
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    @property
    def owner_uid(self) -> int:
        return os.geteuid() if self.uid is None else self.uid

    def make_private_folder(self, folder: Path) -> None:
        """Create a folder that only the account can enter.

        Raises:
            PermissionError: the file system does not keep the owners of files.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)
        folder.chmod(0o700)
        if folder.stat().st_uid != self.owner_uid:
            raise PermissionError(1, "the file system does not keep file owners", str(folder))

    def write_private_file(self, path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            if self.uid is not None and self.gid is not None:
                os.fchown(descriptor, self.uid, self.gid)
            file.write(text)

    def can_enter(self, folder: Path) -> bool:
        """Return whether the account may enter this folder and all above it. Access control lists are not read."""
        if self.uid is None:
            return True
        resolved = folder.resolve()
        return all(self._has(each, stat.S_IXUSR) for each in (resolved, *resolved.parents))

    def can_run(self, program: Path) -> bool:
        if self.uid is None:
            return os.access(program, os.X_OK)
        return self.can_enter(program.parent) and self._has(program, stat.S_IRUSR | stat.S_IXUSR)

    def _has(self, path: Path, owner_bits: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            wanted = owner_bits
        elif status.st_gid == self.gid:
            wanted = owner_bits >> 3
        else:
            wanted = owner_bits >> 6
        return status.st_mode & wanted == wanted
