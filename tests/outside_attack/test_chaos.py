"""A short form of `bench/chaos.py`, with disasters of each kind that are over within seconds, several at once.

`bench/chaos.py` runs each disaster on its own, many times, on a stack that embeds.
"""

from __future__ import annotations

import asyncio

import pytest

from outside_attack.attack import attack
from outside_attack.attacked_stack import AttackedStack
from outside_attack.small_disk import small_disk

pytestmark = pytest.mark.slow

# four strike at once: a parser can only be found while uploads arrive
QUICK = (
    "kill parser",
    "lose COMMIT answers",
    "flush Redis",
    "fill disk",
    "kill api",
    "end connections",
    "kill backend",
)


@pytest.mark.timeout(300)
def test_nothing_is_lost_orphaned_or_charged_wrongly() -> None:
    with small_disk() as (folder, own_disk):
        stack = AttackedStack(folder, RAG_EMBEDDER="none")
        try:
            stack.wait_until_healthy()
            stack.make_plan()
            names = [name for name in QUICK if own_disk or name != "fill disk"]
            report = asyncio.run(attack(stack, names, tenants=2, at_once=4))
        finally:
            stack.stop()
    assert report.faults == []
    assert report.answers.defects == []
    assert report.uploaded > 0
    assert report.asked > 0
