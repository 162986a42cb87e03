from __future__ import annotations

from billing.subscription_machine import SubscriptionMachine, make_plans
from fastapi_ignite.infra.services import ServiceAddresses
from support.state_machines import machine_runner, run_machine


def test_any_order_of_changes_ends_as_in_the_model(addresses: ServiceAddresses) -> None:
    """This is a short run. `bench/state_machines.py` runs the machine many more times."""
    with machine_runner(addresses.worker_url) as own:
        own.run(make_plans(own))
        SubscriptionMachine.runner = own
        run_machine(SubscriptionMachine, runs=12, steps=15)
