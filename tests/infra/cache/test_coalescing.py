"""Tests that readers of one key share a read, but never one that began before they asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fastapi_ignite.infra.cache.backend import Snapshot
from fastapi_ignite.infra.cache.single_flight import CoalescedReads


class Store:
    """Answers when the test sets `answer`, with the value that it had when the read began."""

    def __init__(self) -> None:
        self.value = b"old"
        self.reads = 0
        self.answer = asyncio.Event()

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        self.reads += 1
        data = self.value
        await self.answer.wait()
        if key == "broken":
            raise ConnectionResetError
        return Snapshot(data, tuple(tags))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_two_reads_serve_any_crowd() -> None:
    store = Store()
    reads = CoalescedReads(store.read)
    early = [asyncio.create_task(reads.read("key", ["t"])) for _ in range(100)]
    await settle()
    store.value = b"new"
    late = [asyncio.create_task(reads.read("key", ["t"])) for _ in range(100)]
    await settle()
    assert store.reads == 1
    store.answer.set()
    assert {snapshot.data for snapshot in await asyncio.gather(*early)} == {b"old"}
    assert {snapshot.data for snapshot in await asyncio.gather(*late)} == {b"new"}
    assert store.reads == 2


async def test_other_keys_and_tags_are_other_reads() -> None:
    store = Store()
    store.answer.set()
    reads = CoalescedReads(store.read)
    found = await asyncio.gather(reads.read("a", ["t"]), reads.read("b", ["t"]), reads.read("a", ["u"]))
    assert store.reads == 3
    assert [snapshot.generations for snapshot in found] == [("t",), ("t",), ("u",)]


async def test_a_reader_that_leaves_takes_nobody_with_it() -> None:
    store = Store()
    reads = CoalescedReads(store.read)
    tasks = [asyncio.create_task(reads.read("key", [])) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await settle()
    store.answer.set()
    assert (await tasks[1]).data == (await tasks[2]).data == b"old"


async def test_a_failure_is_that_reads_alone() -> None:
    store = Store()
    reads = CoalescedReads(store.read)
    failing = asyncio.create_task(reads.read("broken", []))
    await settle()
    store.answer.set()
    with pytest.raises(ConnectionResetError):
        await failing
    with pytest.raises(ConnectionResetError):
        await reads.read("broken", [])
    assert store.reads == 2
