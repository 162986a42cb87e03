"""Tests of the window in Redis, exact to the microsecond."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from redis import Redis

from fastapi_ignite.infra.ratelimit.script import EXACT_UP_TO
from infra.ratelimit.moved_clock import MICROSECONDS, Decision, MovedWindow

MINUTE = 60 * MICROSECONDS
MICROSECOND = 1 / MICROSECONDS
MANY = EXACT_UP_TO * 100


@pytest.fixture
def window(redis: Redis) -> Iterator[MovedWindow]:
    made = MovedWindow(redis)
    yield made
    made.close()


class TestTheEdge:
    """These tests check that a unit is free again after sixty seconds, and not a microsecond earlier."""

    def test_of_one_unit(self, window: MovedWindow) -> None:
        assert window.passes(1)
        window.forward(60 - MICROSECOND)
        assert window.hit(1) == Decision(allowed=False, remaining=0, wait_ms=1)
        window.forward(MICROSECOND)
        assert window.passes(1)

    def test_of_many_units_at_once(self, window: MovedWindow) -> None:
        for _ in range(5):
            assert window.passes(5)
            window.forward(1)
        assert window.hit(5) == Decision(allowed=False, remaining=0, wait_ms=55_000)
        window.forward(55)
        assert window.hit(5) == Decision(allowed=True, remaining=0, wait_ms=1000)
        assert not window.passes(5)

    def test_no_second_minute_around_the_turn_of_the_first(self, window: MovedWindow) -> None:
        """A counter that is reset every minute would allow 2 N around that moment, and a token bucket up to 2 N - 1."""
        window.forward(59)
        assert [window.passes(3) for _ in range(4)] == [True, True, True, False]
        window.forward(2)
        assert not window.passes(3)

    def test_a_refused_request_takes_nothing(self, window: MovedWindow) -> None:
        assert window.passes(1)
        for _ in range(59):
            window.forward(1)
            assert not window.passes(1)
        window.forward(1)
        assert window.passes(1)


class TestChangedClockOfRedis:
    """These tests cover a Redis whose clock a person or a time server changes."""

    def test_back(self, window: MovedWindow) -> None:
        assert [window.passes(2), window.passes(2)] == [True, True]
        window.forward(-3600)
        assert not window.passes(2)
        window.forward(59.9)
        assert not window.passes(2)
        window.forward(0.2)
        assert window.passes(2), "the hour is not waited for"

    def test_back_by_less_than_anyone_notices(self, window: MovedWindow) -> None:
        for _ in range(10):
            assert window.passes(10)
            window.forward(-0.005)
        assert not window.passes(10)
        window.forward(60.1)
        assert [window.passes(10) for _ in range(11)] == [True] * 10 + [False]


class TestManyUnits:
    """These tests cover limits above 1,000 a minute, where units of the same 60 ms are one entry."""

    def test_the_limit_holds_in_every_window(self, window: MovedWindow) -> None:
        limit, taken = 3000, []
        for _ in range(400):
            window.forward(0.25)
            taken += [window.now] * sum(window.passes(limit) for _ in range(20))
        most = max(sum(start <= at < start + MINUTE for at in taken) for start in set(taken))
        assert most <= limit
        assert len(taken) >= 0.99 * (limit + 40 / 60 * limit)

    def test_a_unit_is_back_within_sixty_milliseconds_of_its_minute(self, window: MovedWindow) -> None:
        assert window.hit(MANY, MANY).allowed
        window.forward(60 - MICROSECOND)
        assert not window.passes(MANY)
        window.forward(0.06 + MICROSECOND)
        assert window.passes(MANY)

    def test_memory_is_bounded_whatever_the_limit(self, window: MovedWindow, redis: Redis) -> None:
        for _ in range(3000):
            window.forward(0.025)
            assert window.hit(10**9, 1000).allowed
        usage: Any = redis.memory_usage(window.key)
        assert usage < 40_000

    def test_a_smaller_plan_counts_what_the_larger_one_gave(self, window: MovedWindow) -> None:
        assert window.hit(MANY, 50).allowed
        window.forward(1)
        assert not window.passes(10)
        window.forward(59.06)
        assert [window.passes(10) for _ in range(11)] == [True] * 10 + [False]


class TestUnitsGivenElsewhere:
    """These tests cover units that a process allowed while it had to decide alone."""

    def test_they_come_back_a_minute_after_they_were_given(self, window: MovedWindow) -> None:
        assert window.passes(4)
        window.forward(30)
        assert window.hit(4, 1, (45, 1), (10, 1)) == Decision(allowed=True, remaining=0, wait_ms=15_000)
        window.forward(15)
        assert [window.passes(4), window.passes(4)] == [True, False]
        window.forward(15)
        assert [window.passes(4), window.passes(4)] == [True, False]

    def test_old_ones_are_forgotten(self, window: MovedWindow) -> None:
        assert window.hit(2, 1, (61, 2)) == Decision(allowed=True, remaining=1, wait_ms=60_000)

    def test_more_than_the_limit_is_no_error(self, window: MovedWindow) -> None:
        assert window.hit(2, 1, (20, 2), (10, 3)) == Decision(allowed=False, remaining=0, wait_ms=50_000)


class WindowMachine(RuleBasedStateMachine):
    """Compares the script with a plain list of times, for any requests at any times."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.window = MovedWindow(self.redis)
        self.taken: list[int] = []

    @rule(seconds=st.one_of(st.floats(0, 70), st.sampled_from([0, MICROSECOND, 1, 20, 59.999999, 60])))
    def wait(self, seconds: float) -> None:
        self.window.forward(seconds)

    @rule(limit=st.integers(1, 6), cost=st.integers(1, 6))
    def hit(self, limit: int, cost: int) -> None:
        now, cost = self.window.now, min(limit, cost)
        decision = self.window.hit(limit, cost)
        self.taken = [at for at in self.taken if at + MINUTE > now]
        allowed = len(self.taken) + cost <= limit
        needed = 1 if allowed else len(self.taken) + cost - limit
        self.taken += [now] * cost if allowed else []
        wait = -((now - self.taken[needed - 1] - MINUTE) // 1000)
        assert decision == Decision(allowed, max(0, limit - len(self.taken)), wait)

    def teardown(self) -> None:
        self.window.close()


def test_any_sequence_is_decided_as_by_a_list_of_times(redis: Redis) -> None:
    machine = type("Machine", (WindowMachine,), {"redis": redis})
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=25))
