"""Tests of the storage in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastapi_ignite.infra.storage import LocalStorage, local


async def test_objects_are_listed_in_the_order_of_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are compared as bytes, as PostgreSQL compares them with the collation C."""
    monkeypatch.setattr(local, "PAGE_OBJECTS", 3)
    keys = sorted(f"{a}/{b}{c}" for a in ("a", "a-b", "a.b", "ä") for b in ("x", "X-y", "x/y") for c in ("", ".z"))
    keys = [key for key in keys if not any(other.startswith(f"{key}/") for other in keys)]
    for key in keys:
        (tmp_path / "objects" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "objects" / key).write_bytes(b"")
    storage = LocalStorage(tmp_path)
    for after in ("", *keys):
        listed = [each.key async for page in storage.objects(after=after) for each in page]
        assert listed == [key for key in keys if key > after]
