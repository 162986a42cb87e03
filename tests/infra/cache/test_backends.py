"""Tests of what every cache backend must do, on all three."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from fastapi_ignite.infra.cache import CacheBackend
from fastapi_ignite.infra.cache.backend import LockOwner

HOSTILE_KEYS = [
    "../outside",
    "../../outside",
    "../../../outside",
    "/etc/passwd",
    "item:*",
    "item:[a-z]",
    "a\nb",
    "a\r\nSET planted 1\r\n",
    "nul\x00byte",
    "ünï©ode",
    "." * 300,
    "x" * 20_000,
]


async def store(backend: CacheBackend, key: str, data: bytes, tags: Sequence[str] = ()) -> bool:
    return await backend.write(key, data, 60, tags, await backend.generations(tags))


async def keys(backend: CacheBackend, prefix: str) -> set[str]:
    return {key async for page in backend.scan(prefix) for key, _ in page}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


async def test_what_was_written_is_read(backend: CacheBackend) -> None:
    assert (await backend.read("item:1", ["t"])).data is None
    assert await store(backend, "item:1", b"\x00value\n", ["t"])
    assert (await backend.read("item:1", ["t"])).data == b"\x00value\n"
    assert await store(backend, "item:1", b"newer", ["t"])
    assert (await backend.read("item:1", ["t"])).data == b"newer"


async def test_a_tag_keeps_its_generation_until_it_is_invalidated(backend: CacheBackend) -> None:
    first = (await backend.read("item:1", ["a", "b"])).generations
    assert (await backend.read("item:2", ["a", "b"])).generations == first
    assert await backend.generations(["b", "a"]) == (first[1], first[0])
    await backend.invalidate(["a"])
    second = await backend.generations(["a", "b"])
    assert second[0] != first[0]
    assert second[1] == first[1]


async def test_no_generation_comes_back(backend: CacheBackend) -> None:
    seen = set()
    for _ in range(50):
        seen.add(await backend.generations(["a"]))
        await backend.invalidate(["a"])
    assert len(seen) == 50


async def test_what_was_loaded_before_an_invalidation_is_not_stored_after_it(backend: CacheBackend) -> None:
    before = await backend.generations(["a", "b"])
    await backend.invalidate(["b"])
    assert not await backend.write("item:1", b"old", 60, ["a", "b"], before)
    assert (await backend.read("item:1", ["a", "b"])).data is None


async def test_deleting_counts_what_was_there(backend: CacheBackend) -> None:
    await store(backend, "item:1", b"1")
    await store(backend, "item:2", b"2")
    assert await backend.delete(["item:1", "item:2", "item:3"]) == 2
    assert await backend.delete([]) == 0
    assert (await backend.read("item:1", [])).data is None


async def test_a_scan_finds_every_key_of_a_prefix_and_no_other(backend: CacheBackend) -> None:
    wanted = {f"item:{number}" for number in range(450)}
    for key in wanted:
        await store(backend, key, b"1", ["t"])
    for key in ("items", "other:item:1", "ite"):
        await store(backend, key, b"1")
    assert await keys(backend, "item:") == wanted


async def test_a_prefix_is_no_pattern(backend: CacheBackend) -> None:
    for key in ("a*:1", "ab:1", "a[b]:1", "a?:1", "a\\:1"):
        await store(backend, key, b"1")
    for prefix in ("a*", "a[b]", "a?", "a\\"):
        assert await keys(backend, prefix) == {f"{prefix}:1"}


async def acquire(backend: CacheBackend, lock: str, owner: str) -> bool:
    return (await backend.acquire(lock, owner, 60, lock, []))[0]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
async def test_a_key_is_only_a_key(backend: CacheBackend, key: str, tmp_path: Path) -> None:
    await store(backend, "item:own", b"untouched", ["items"])
    generation = await backend.generations(["items"])
    assert await store(backend, key, b"hostile", [key])
    assert (await backend.read(key, [key])).data == b"hostile"
    assert (await backend.read("item:own", ["items"])).data == b"untouched"
    assert (await backend.read("planted", [])).data is None
    assert await backend.generations(["items"]) == generation
    assert await acquire(backend, key, "me")
    await backend.release(key, "me")
    assert await backend.delete([key]) == 1
    assert names_in(tmp_path) <= {"cache"}
    assert names_in(tmp_path / "cache") <= {"entries", "generations", "locks", "usage", "sweeping"}


async def test_who_acquires_a_lock_sees_what_its_last_owner_stored(backend: CacheBackend) -> None:
    key, lock = uuid4().hex, LockOwner(uuid4().hex, "first")
    acquired, before = await backend.acquire(*lock, 60, key, ["items"])
    assert (acquired, before.data, len(before.generations)) == (True, None, 1)
    assert not (await backend.acquire(lock.lock, "second", 60, key, ["items"]))[0]
    foreign = LockOwner(lock.lock, "second")
    assert await backend.write(key, b"first", 60, ["items"], before.generations, release=foreign)
    assert not await acquire(backend, lock.lock, "second")
    assert await backend.write(key, b"last", 60, ["items"], before.generations, release=lock)
    assert await backend.acquire(lock.lock, "second", 60, key, ["items"]) == (True, (b"last", before.generations))
    await backend.invalidate(["items"])
    assert not await backend.write(key, b"outdated", 60, ["items"], before.generations, release=foreign)
    assert await acquire(backend, lock.lock, "third"), "a refused write releases the lock too"


async def test_a_lock_is_its_owners_until_given_back(backend: CacheBackend) -> None:
    lock = uuid4().hex
    assert await acquire(backend, lock, "first")
    assert not await acquire(backend, lock, "second")
    assert await acquire(backend, "another", "second")
    await backend.release(lock, "second")
    assert not await acquire(backend, lock, "second")
    await backend.release(lock, "first")
    assert await acquire(backend, lock, "second")
