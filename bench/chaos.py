"""Attack a whole stack from outside, and check that nothing is lost, orphaned or charged wrongly.

    python -m bench.chaos [--rounds 200] [--tenants 4] [--only "kill api" "fill disk" …]

Tenants upload, ask, read and remove without a pause, each operation repeated with its Idempotency-Key until it is
acknowledged. Meanwhile disasters strike in a random order: each part of the stack is killed with SIGKILL (the parser
and the guardian too) or stopped with SIGSTOP, the disk is filled, connections are taken or ended, Redis is flushed, and
a proxy drops the answers to executed COMMITs. Every 25 rounds the load stops and the stack finishes its work. Then
every acknowledged file must be there once, completed, with its characters charged; every answered question must be
charged once; each stored object must have a row and each row its object; and no answer may have been a 500.
"""

from __future__ import annotations

import argparse
import asyncio
import random

from outside_attack.attack import Report, attack
from outside_attack.attacked_stack import AttackedStack
from outside_attack.disasters import DISASTERS, shuffled
from outside_attack.small_disk import small_disk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--only", nargs="*", choices=list(DISASTERS), default=list(DISASTERS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with small_disk() as (folder, own_disk):
        names = [name for name in options.only if own_disk or name != "fill disk"]
        if names != options.only:
            print("The disk is not filled: only root can make a file system of its own.")
        stack = AttackedStack(folder)
        try:
            stack.wait_until_healthy()
            stack.make_plan()
            rounds = shuffled(names, options.rounds, random.Random(options.seed))
            report = asyncio.run(attack(stack, rounds, tenants=options.tenants, say=_say))
        finally:
            stack.stop()
    _say(f"{len(rounds)} rounds, {report.uploaded} files and {report.asked} questions acknowledged")
    _say(f"answers: {dict(report.answers.statuses)}")
    if problems := _problems(report):
        raise SystemExit("\n".join(problems))
    _say("0 lost, 0 orphans, 0 x 500, charges exact")


def _problems(report: Report) -> list[str]:
    return [*report.faults[:40], *report.answers.defects[:40]]


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
