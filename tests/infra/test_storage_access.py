"""Tests that other users of the machine cannot open the folder of all uploads."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastapi_ignite.infra.storage import LocalStorage


@pytest.mark.parametrize("existing", [None, 0o755, 0o775], ids=["new", "of an older version", "shared with a group"])
async def test_other_users_stay_outside(tmp_path: Path, existing: int | None) -> None:
    root = tmp_path / "storage"
    if existing:
        root.mkdir()
        root.chmod(existing)
    writer = await LocalStorage(root).writer("object")
    await writer.write(b"of one tenant")
    await writer.finish()
    mode = root.stat().st_mode & 0o777
    assert mode & 0o007 == 0
    assert existing is None or mode == existing & 0o770


def test_a_folder_that_is_only_read_is_closed_as_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    LocalStorage(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o750
