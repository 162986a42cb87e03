from __future__ import annotations

from fastapi_ignite.infra.services import ServiceAddresses
from support.state_machines import machine_runner, run_machine
from usage.quota_machine import QuotaMachine


def test_counters_days_and_ledger_add_up_after_any_order_of_steps(addresses: ServiceAddresses) -> None:
    """`bench/state_machines.py` runs more and longer orders."""
    with machine_runner(addresses.worker_url) as own:
        QuotaMachine.runner = own
        run_machine(QuotaMachine, runs=12, steps=15)
