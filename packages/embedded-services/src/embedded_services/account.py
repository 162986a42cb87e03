"""Which system user each server runs as. PostgreSQL refuses root, so root gives each server a user of its own."""

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
    """`uid` is None when the server runs as the user who started the program."""

    uid: int | None
    gid: int | None

    @classmethod
    def for_postgres(cls) -> ServerAccount:
        """Return PostgreSQL's account: `nobody` when root starts it, since initdb needs a user that has a name."""
        if os.geteuid() != 0:
            return cls(None, None)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            return cls(NOBODY_ID, NOBODY_ID)
        return cls(nobody.pw_uid, nobody.pw_gid)

    @classmethod
    def for_valkey(cls) -> ServerAccount:
        """Return Valkey's account: when root starts it, a user that no other process is."""
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
        """Creates `folder` for the account alone; raises PermissionError where a file system keeps no owners."""
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
        """Whether every folder down to this one lets the account through. Access lists are not looked at."""
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
