"""Run the state machines of subscriptions and quotas many times, each step against the database.

    python -m bench.state_machines [--runs 2000] [--steps 20] [--only subscriptions quotas]

The suite runs the same machines a few times. A run that fails ends the command and shows its steps.
"""

from __future__ import annotations

import argparse
import time

from bench.harness import bench_servers
from billing.subscription_machine import SubscriptionMachine, make_plans
from support.state_machines import machine_runner, run_machine
from usage.quota_machine import QuotaMachine

MACHINES = {"subscriptions": SubscriptionMachine, "quotas": QuotaMachine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=MACHINES, default=MACHINES)
    options = parser.parse_args()
    with bench_servers(durable=False) as (addresses, _), machine_runner(addresses.worker_url) as own:
        own.run(make_plans(own))
        for name in options.only:
            machine = MACHINES[name]
            machine.runner = own
            started = time.monotonic()
            run_machine(machine, runs=options.runs, steps=options.steps)
            print(f"{name}: {options.runs} runs of up to {options.steps} steps, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
