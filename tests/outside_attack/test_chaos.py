"""The short form of `bench/chaos.py`: disasters of each kind that recover within seconds."""

from __future__ import annotations

import asyncio

import pytest

from outside_attack.attack import attack
from outside_attack.attacked_stack import AttackedStack
from outside_attack.small_disk import small_disk

QUICK = ("kill api", "lose COMMIT answers", "kill parser", "end connections", "flush Redis", "kill backend")


@pytest.mark.timeout(300)
def test_nothing_is_lost_orphaned_or_charged_wrongly() -> None:
    with small_disk() as (folder, own_disk):
        stack = AttackedStack(folder)
        try:
            stack.wait_until_healthy()
            stack.make_plan()
            names = [*QUICK, *(["fill disk"] if own_disk else [])]
            report = asyncio.run(attack(stack, names, tenants=2))
        finally:
            stack.stop()
    assert report.faults == []
    assert report.answers.defects == []
    assert report.uploaded > 0
    assert report.asked > 0
