"""Searches over HTTP while a file gets one version after another, and counts searches that found not exactly one.

    python -m bench.version_swap [--swaps 100] [--searchers 8] [--embedder none minilm]

Starts `cli.py up` on a folder and a port of its own. Each version has several passages that name it. `neither` and
`both` count searches that found no version or two, `stale` those that found an earlier version than the one that was
answered before they began. All of them, and `failed`, have to be 0; otherwise the status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from statistics import median

import httpx2

from bench.memory import PLAN
from fastapi_ignite.core.config import load_settings
from support.command_line import open_folder
from support.http_clients import tenant_factory
from support.running_stack import RunningStack
from support.version_swaps import BY_MEANING, QUERY, Sightings, search_beside_swaps


async def measure(stack: RunningStack, embedder: str, *, swaps: int, searchers: int) -> Sightings:
    queries = (QUERY,) if embedder == "none" else (QUERY, BY_MEANING)
    async with httpx2.AsyncClient(base_url=stack.api, timeout=600) as client:
        tenant = await tenant_factory(client, load_settings(env_file=None))("version-swap")
        return await search_beside_swaps(tenant, swaps=swaps, searchers=searchers, queries=queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--searchers", type=int, default=8)
    parser.add_argument("--embedder", nargs="+", default=["none", "minilm"])
    options = parser.parse_args()
    print(f"{options.searchers} searchers, load average before {os.getloadavg()[0]:.1f}\n")
    print("| embedder | searches | swaps | neither | both | stale | failed | a search, median |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    faults = 0
    for embedder in options.embedder:
        with open_folder() as folder:
            stack = RunningStack(folder, RAG_EMBEDDER=embedder, RATE_LIMIT_RPM="1000000").wait_until_healthy()
            try:
                stack.commands.run("plans", "set", "version-swap", *PLAN.split()).succeeded()
                seen = asyncio.run(measure(stack, embedder, swaps=options.swaps, searchers=options.searchers))
            finally:
                stack.end()
        faults += sum(seen.faults)
        print(
            f"| {embedder} | {seen.searches} | {seen.swaps} | {seen.neither} | {seen.both} | {seen.stale} "
            f"| {seen.failed} | {median(seen.milliseconds):.0f} ms |",
            flush=True,
        )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
