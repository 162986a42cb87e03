"""Tests of a cache in which concurrent callers share one look-up."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from fastapi_ignite.core.remembered import Remembered


class Source:
    """Records the look-ups. Each one waits until the test sets `go_on`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fails = False

    async def look_up(self, key: str) -> str:
        self.asked.append(key)
        self.running.set()
        await self.go_on.wait()
        if self.fails:
            raise LookupError(key)
        return f"{key} {len(self.asked)}"


class FakeClock:
    """Replaces the `time` module with a clock that the test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    monkeypatch.setattr("fastapi_ignite.core.remembered.time", made)
    return made


@pytest.fixture
def source() -> Source:
    return Source()


async def test_a_crowd_shares_one_look_up(source: Source) -> None:
    values = Remembered(source.look_up, seconds=60)
    crowd = [asyncio.create_task(values.get("a")) for _ in range(20)]
    await asyncio.sleep(0)
    crowd[0].cancel()  # the other callers must still get the value
    source.go_on.set()
    assert set(await asyncio.gather(*crowd[1:])) == {"a 1"}
    assert await values.get("a") == "a 1"
    assert source.asked == ["a"]


async def test_it_is_forgotten_in_time(source: Source, fake_clock: FakeClock) -> None:
    source.go_on.set()
    values = Remembered(source.look_up, seconds=5)
    assert await values.get("a") == "a 1"
    fake_clock.now += 4.9
    assert await values.get("a") == "a 1"
    fake_clock.now += 0.2
    assert await values.get("a") == "a 2"


async def test_what_was_learnt_counts_from_when_it_was_asked_for(source: Source, fake_clock: FakeClock) -> None:
    """A slow answer may be out of date when it arrives, so its age counts from the start of the look-up."""
    values = Remembered(source.look_up, seconds=5)
    asking = asyncio.create_task(values.get("a"))
    await source.running.wait()
    fake_clock.now += 6
    source.go_on.set()
    assert await asking == "a 1"
    assert await values.get("a") == "a 2"


async def test_a_failure_is_everybodys_and_not_remembered(source: Source) -> None:
    source.fails = True
    source.go_on.set()
    values = Remembered(source.look_up, seconds=60)
    for result in await asyncio.gather(*(values.get("a") for _ in range(3)), return_exceptions=True):
        assert isinstance(result, LookupError)
    source.fails = False
    assert await values.get("a") == "a 2"


async def test_the_oldest_key_makes_room(source: Source, fake_clock: FakeClock) -> None:
    source.go_on.set()
    values = Remembered(source.look_up, seconds=60, most=3)
    for key in "abc":
        await values.get(key)
    fake_clock.now += 61
    assert await values.get("a") == "a 4", "it is the newest again"
    assert await values.get("d") == "d 5"
    assert [await values.get(key) for key in "ad"] == ["a 4", "d 5"]
    assert await values.get("b") == "b 6", "it made room"


async def test_a_failure_that_nobody_waits_for_is_not_logged(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.fails = True
    values = Remembered(source.look_up, seconds=60)
    asking = asyncio.create_task(values.get("a"))
    await source.running.wait()
    asking.cancel()
    source.go_on.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del asking
    gc.collect()
    assert not caplog.records


async def test_it_is_kept_longer_while_somebody_tells_of_changes(source: Source, fake_clock: FakeClock) -> None:
    source.go_on.set()
    told = True
    values = Remembered(source.look_up, seconds=1, notified_seconds=60, is_notified=lambda: told)
    assert await values.get("a") == "a 1"
    fake_clock.now += 59
    assert await values.get("a") == "a 1"
    told = False
    assert await values.get("a") == "a 2", "changes may have been missed"
    told = True
    fake_clock.now += 61
    assert await values.get("a") == "a 3", "the longer time ends too"


async def test_a_key_that_changed_is_looked_up_again_and_no_other(source: Source) -> None:
    source.go_on.set()
    values = Remembered(source.look_up, seconds=60)
    assert [await values.get(key) for key in "ab"] == ["a 1", "b 2"]
    values.forget("a")
    assert [await values.get(key) for key in "ab"] == ["a 3", "b 2"]
    values.forget_all()
    assert [await values.get(key) for key in "ab"] == ["a 4", "b 5"]


@pytest.mark.parametrize("forget_all", [False, True])
async def test_a_change_during_a_look_up_is_not_overlooked(source: Source, *, forget_all: bool) -> None:
    """The look-up may have read the old value, so nobody who comes after the change gets it."""
    values = Remembered(source.look_up, seconds=60)
    before = asyncio.create_task(values.get("a"))
    await source.running.wait()
    values.forget_all() if forget_all else values.forget("a")
    after = asyncio.create_task(values.get("a"))
    for _ in range(3):  # until it has begun
        await asyncio.sleep(0)
    assert source.asked == ["a", "a"]
    source.go_on.set()
    await asyncio.gather(before, after)
    assert await values.get("a") == await after
    assert source.asked == ["a", "a"]


async def test_many_keys_do_not_grow_it() -> None:
    async def look_up(key: int) -> int:
        return key

    values = Remembered(look_up, seconds=60, most=100)
    for key in range(20_000):
        await values.get(key)
    assert (len(values._known), len(values._running)) == (100, 0)
