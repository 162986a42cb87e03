from __future__ import annotations

from fastapi_ignite.infra.services import ServiceAddresses
from support.state_machines import ground, play
from usage.quota_machine import QuotaMachine


def test_counters_days_and_ledger_add_up_after_any_order_of_steps(addresses: ServiceAddresses) -> None:
    """`bench/state_machines.py` runs more and longer orders."""
    with ground(addresses.worker_url) as own:
        QuotaMachine.ground = own
        play(QuotaMachine, runs=12, steps=15)
