"""Fixtures of folders for embedded instances. They are removed after everything in them has stopped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.embedded_instances import OtherUser, remove_instance


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that the account of the servers can enter, unlike the folders of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="ignite-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data_dir(open_folder: Path) -> Iterator[Path]:
    folder = open_folder / "data"
    yield folder
    remove_instance(folder)


@pytest.fixture
def other_user(data_dir: Path) -> Iterator[Callable[..., OtherUser]]:
    """Return a function that starts another process, which uses `data_dir`."""
    users: list[OtherUser] = []

    def start(*, durable: bool = False, limit_file_size: int | None = None) -> OtherUser:
        users.append(OtherUser(data_dir, durable=durable, limit_file_size=limit_file_size))
        return users[-1]

    yield start
    for user in users:
        user.kill()
