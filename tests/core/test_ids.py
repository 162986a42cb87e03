"""Tests of ids. They are UUIDv7, so that they sort by age and a B-tree grows at its end."""

from __future__ import annotations

import time
from uuid import RFC_4122

from fastapi_ignite.core.ids import new_id


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def test_an_id_is_a_uuid_version_7_of_this_millisecond() -> None:
    before = milliseconds()
    identifier = new_id()
    assert before <= identifier.int >> 80 <= milliseconds()
    assert identifier.version == 7
    assert identifier.variant == RFC_4122


def test_later_ids_sort_after_earlier_ones_as_numbers_and_as_text() -> None:
    """The order must also hold within one millisecond, in which several rows can be created."""
    made = []
    for _ in range(2_000):
        made.append(new_id())
        born = time.time_ns()
        while time.time_ns() - born < 1_000:
            pass
    assert sorted(made) == made
    assert sorted(map(str, made)) == [str(identifier) for identifier in made]


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id() for _ in range(20_000)}) == 20_000
