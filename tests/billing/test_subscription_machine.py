from __future__ import annotations

from billing.subscription_machine import SubscriptionMachine, make_plans
from fastapi_ignite.infra.services import ServiceAddresses
from support.state_machines import machine_runner, run_machine


def test_any_order_of_changes_is_what_living_through_the_days_gives(addresses: ServiceAddresses) -> None:
    """`bench/state_machines.py` runs more of them."""
    with machine_runner(addresses.worker_url) as own:
        own.run(make_plans(own))
        SubscriptionMachine.runner = own
        run_machine(SubscriptionMachine, runs=12, steps=15)
