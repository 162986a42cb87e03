"""Identifiers: UUIDv7, so that a B-tree grows at its end and a list by id is a list by age."""

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
    """Also within a millisecond, which is time enough for several rows."""
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
