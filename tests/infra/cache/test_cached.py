"""Tests of cached functions, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel, Field

from fastapi_ignite.core.errors import IgniteError, NotFoundError
from fastapi_ignite.infra.cache import Cache, CacheBackend, cached, get_cache, invalidate_cache, tag


class Colour(Enum):
    RED = "red"


class Note(BaseModel):
    id: UUID
    written: datetime
    title: str = Field(alias="headline")
    marks: list[Decimal] = []


class OldNote(BaseModel):
    title: str


class NewNote(BaseModel):
    title: str
    pinned: bool = False


class NoteNotFoundError(NotFoundError):
    code = "note_not_found"


@pytest.fixture(autouse=True)
def _use(cache: Cache) -> None:
    """Install the cache for all tests of this module."""


def note() -> Note:
    return Note(
        id=UUID(int=7),
        written=datetime(2026, 11, 24, 12, 30, tzinfo=UTC),
        headline="Ünder way",
        marks=[Decimal("1.10")],
    )


def counter(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"ignite_cache_{name}_total", labels) or 0.0


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (UUID, UUID(int=7)),
        (datetime, datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        (date, date(2026, 11, 24)),
        (timedelta, timedelta(seconds=90)),
        (Decimal, Decimal("0.10")),
        (Colour, Colour.RED),
        (dict[str, int], {"a": 1}),
        (tuple[int, str], (1, "a")),
        (list[Note], [note(), note()]),
        (Note | None, note()),
        (int | str, "1"),
        (str, "nul\x00 and \U0001f600 \n"),
        (bool, False),
    ],
    ids=str,
)
async def test_a_value_comes_back_as_it_was(declared: Any, value: Any) -> None:
    runs = 0

    async def load() -> Any:
        nonlocal runs
        runs += 1
        return value

    load.__annotations__["return"] = declared
    stored = cached(key=f"value.{uuid4().hex}", shared=True)(load)
    first, second = await stored(), await stored()
    assert (first, second) == (value, value)
    assert type(second) is type(value)
    assert runs == 1


async def test_each_caller_has_a_value_of_its_own() -> None:
    @cached(shared=True)
    async def numbers() -> list[int]:
        await asyncio.sleep(0)
        return [1, 2]

    for found in await asyncio.gather(*(numbers() for _ in range(5))):
        found.append(3)
        assert found == [1, 2, 3]
    assert await numbers() == [1, 2]


async def test_calls_that_mean_the_same_share_a_result() -> None:
    runs: list[str] = []

    @cached(shared=True)
    async def describe(note_id: UUID, size: int = 1, *, when: datetime | None = None) -> str:
        runs.append("")
        return f"{note_id} {size} {when}"

    note_id = uuid4()
    expected = await describe(note_id)
    assert await describe(UUID(str(note_id).upper()), 1) == expected
    assert await describe(size=1, note_id=note_id, when=None) == expected
    assert len(runs) == 1
    await describe(note_id, when=datetime(2026, 1, 1, tzinfo=UTC))
    assert len(runs) == 2


async def test_calls_that_differ_never_share_a_result() -> None:
    @cached(shared=True)
    async def show(first: Any, second: Any = None) -> str:
        return repr((first, second))

    note_id, written = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
    one = Note(id=note_id, written=written, headline="a")
    values: list[Any] = [
        *(1, "1", 1.0, True, "true", None, "null", "", 10**60, "a:b", "a", ("a", "b"), ["a", ["b"]], b"a", Colour.RED),
        *("red", note_id, str(note_id), note_id.hex, written, str(written), written.date(), {"a": 1}, {"a": "1"}),
        *({"a"}, one, one.model_copy(update={"title": "b"}), Decimal("1.0"), Decimal("1.00"), timedelta(1), "*", "h"),
    ]
    for first in values:
        assert await show(first) == repr((first, None))
    assert await show("a", "b:c") != await show("a:b", "c")
    for first in values:
        assert await show(first) == repr((first, None))


async def test_an_argument_that_is_no_value_is_refused_by_name() -> None:
    @cached(shared=True)
    async def show(session: object) -> str:
        return str(session)

    with pytest.raises(TypeError, match=r"object cannot be part of a cache key"):
        await show(object())


async def test_tenants_never_share_a_result_or_a_tag() -> None:
    @cached(key="notes:{page}", tags=["notes"])
    async def notes(tenant_id: UUID, page: int) -> str:
        return f"{tenant_id} {page} {uuid4()}"

    @invalidate_cache(tags=["notes"])
    async def write(tenant_id: UUID) -> None:
        del tenant_id

    ours, theirs = uuid4(), uuid4()
    mine = await notes(ours, 1)
    other = await notes(theirs, 1)
    assert mine.startswith(str(ours))
    assert other.startswith(str(theirs))
    await write(ours)
    assert await notes(theirs, 1) == other
    assert await notes(ours, 1) != mine


async def test_the_tenant_may_be_that_of_the_object() -> None:
    class Notes:
        def __init__(self, tenant_id: UUID | None) -> None:
            self.tenant_id = tenant_id

        @cached(key="own.notes")
        async def all(self) -> str:
            return str(self.tenant_id)

    ours, theirs = uuid4(), uuid4()
    assert await Notes(ours).all() == str(ours)
    assert await Notes(theirs).all() == str(theirs)
    with pytest.raises(TypeError, match="tenant_id is no UUID"):
        await Notes(None).all()


def test_a_function_without_a_tenant_must_say_that_it_is_shared() -> None:
    with pytest.raises(TypeError, match="shared=True"):

        @cached()
        async def everything() -> int:
            return 1


@pytest.mark.parametrize(
    "key", ["~tag:items", "item:{unknown}", "item:{n.real}", "item {n}", "item:{n!r}", "", "x" * 201]
)
def test_a_key_that_is_none_is_refused_where_it_is_written(key: str) -> None:
    async def double(n: int) -> int:
        return 2 * n

    with pytest.raises(ValueError, match=r"no parameter|not of the form"):
        cached(key=key or ":", shared=True)(double)


async def test_a_result_lives_for_its_ttl_and_no_longer(move_clock: Callable[[float], None]) -> None:
    @cached(ttl=100, shared=True)
    async def token() -> UUID:
        return uuid4()

    first = await token()
    move_clock(89)
    assert await token() == first
    move_clock(11.1)
    assert await token() != first


async def test_lifetimes_are_spread(backend: CacheBackend, move_clock: Callable[[float], None]) -> None:
    @cached(ttl=100, shared=True)
    async def token(number: int) -> UUID:
        del number
        return uuid4()

    first = [await token(number) for number in range(40)]
    move_clock(95)
    kept = sum([await token(number) == first[number] for number in range(40)])
    assert 0 < kept < 40, f"all of {backend.name} ended together"


async def test_a_refusal_is_remembered_for_a_short_time(move_clock: Callable[[float], None]) -> None:
    asked = 0

    @cached(key="note:{note_id}", tags=["note:{note_id}"], shared=True, absence=NoteNotFoundError)
    async def read(note_id: UUID) -> str:
        nonlocal asked
        asked += 1
        raise NoteNotFoundError("No such note.", note_id=str(note_id))

    note_id = uuid4()
    for _ in range(3):
        with pytest.raises(NoteNotFoundError) as refused:
            await read(note_id)
        assert refused.value.detail == "No such note."
        assert refused.value.extra == {"note_id": str(note_id)}
    assert asked == 1
    await get_cache().invalidate(tag("note", note_id, tenant_id=None))
    for _ in range(2):
        with pytest.raises(NoteNotFoundError):
            await read(note_id)
    assert asked == 2
    move_clock(10.1)
    with pytest.raises(NoteNotFoundError):
        await read(note_id)
    assert asked == 3


async def test_nothing_found_is_remembered_for_a_short_time(move_clock: Callable[[float], None]) -> None:
    asked = 0

    @cached(ttl=300, shared=True)
    async def find() -> str | None:
        nonlocal asked
        asked += 1
        return None

    assert [await find(), await find()] == [None, None]
    assert asked == 1
    move_clock(10.1)
    await find()
    assert asked == 2


async def test_other_failures_are_not_remembered_and_the_function_runs_once_a_call() -> None:
    runs = 0

    @cached(shared=True, absence=NoteNotFoundError)
    async def fail() -> int:
        nonlocal runs
        runs += 1
        raise (NotFoundError("another one") if runs % 2 else ZeroDivisionError)

    for expected in (1, 2, 3):
        with pytest.raises((NotFoundError, ZeroDivisionError)):
            await fail()
        assert runs == expected


async def test_invalidation_reaches_what_carries_the_tag_and_nothing_else() -> None:
    @cached(tags=["note:{number}", "notes"], shared=True)
    async def read(number: int) -> UUID:
        del number
        return uuid4()

    @invalidate_cache(tags=["note:{number}"], shared=True)
    async def change(number: int, *, text: str) -> str:
        del number
        return text

    first, second = await read(1), await read(2)
    assert await change(1, text="returned") == "returned"
    assert await read(1) != first
    assert await read(2) == second
    await get_cache().invalidate(tag("notes", tenant_id=None))
    assert await read(2) != second


async def test_only_a_write_that_may_have_happened_invalidates() -> None:
    class RefusedError(IgniteError):
        status = 409

    @cached(tags=["notes"], shared=True)
    async def read() -> UUID:
        return uuid4()

    @invalidate_cache(tags=["notes"], shared=True)
    async def write(error: Exception) -> None:
        raise error

    first = await read()
    with pytest.raises(RefusedError):
        await write(RefusedError())
    assert await read() == first
    with pytest.raises(ConnectionResetError):
        await write(ConnectionResetError("lost while committing"))
    assert await read() != first


async def test_a_value_that_is_not_what_was_declared_is_returned_but_not_kept() -> None:
    runs = 0

    @cached(key="mistyped", shared=True)
    async def read() -> int:
        nonlocal runs
        runs += 1
        return "text"  # type: ignore[return-value]  # the test needs this mistake

    before = counter("not_stored", cache="mistyped", reason="type")
    assert [str(await read()), str(await read())] == ["text", "text"]
    assert runs == 2
    assert counter("not_stored", cache="mistyped", reason="type") == before + 2


async def test_a_value_that_is_too_large_is_returned_but_not_kept() -> None:
    runs = 0

    @cached(key="oversize:{size}", shared=True)
    async def read(size: int) -> str:
        nonlocal runs
        runs += 1
        return "x" * size

    before = counter("not_stored", cache="oversize", reason="size")
    assert len(await read(2**20)) == len(await read(2**20)) == 2**20
    assert runs == 2
    assert counter("not_stored", cache="oversize", reason="size") == before + 2
    assert await read(2**19) == await read(2**19)
    assert runs == 3


async def test_a_new_shape_does_not_read_the_old_entries() -> None:
    @cached(key="shaped", shared=True)
    async def old() -> OldNote:
        return OldNote(title="old code")

    @cached(key="shaped", shared=True)
    async def new() -> NewNote:
        return NewNote(title="new code", pinned=True)

    await old()
    assert await new() == NewNote(title="new code", pinned=True)
    assert await old() == OldNote(title="old code")


async def test_look_ups_are_counted_by_their_outcome() -> None:
    @cached(key="counted", shared=True)
    async def read() -> int:
        return 1

    before = {outcome: counter("requests", cache="counted", outcome=outcome) for outcome in ("miss", "hit")}
    for _ in range(3):
        await read()
    assert counter("requests", cache="counted", outcome="miss") == before["miss"] + 1
    assert counter("requests", cache="counted", outcome="hit") == before["hit"] + 2
