"""Requests a second of our hot routes, beside what others write with FastAPI, in one run.

    python -m bench.request_rates [--rounds 5] [--seconds 3] [--alone] [--protocol httptools]

Starts a stack (`cli.py up`: one API process, worker and scheduler, default logging) and the applications of
`bench/reference`, each with a port of its own on the same PostgreSQL and Valkey. In every round each route is asked for
some seconds, one after the other, and ratios are taken within a round. The servers of HTTP share one core, and
everything else runs on the others. With `--alone` there is neither worker nor scheduler nor supervisor. `--protocol` is
uvicorn's `--http` of the references; our API keeps its own. The environment's settings reach our API: with
`CACHE_BACKEND_TYPE=memory` the items are cached in memory.

Ratios are medians, with the least and the most of a round, and more is better. Where other work runs beside, the ratio
of processor time says more than that of requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx2
from redis import Redis

from bench.harness import bench_servers
from bench.load_generator import CONNECTIONS, Request, generator_name, offer_load
from bench.processes import (
    BOUNDED,
    ApiProcess,
    Server,
    UvicornProcess,
    cpu_seconds,
    make_plan,
    make_tenant,
    pin,
    running,
)
from bench.reference import DATABASE, REDIS, REDIS_KEY
from bench.rounds import compare
from fastapi_ignite.infra.services import ServiceAddresses

OUR_SETTINGS = {
    "RATE_LIMIT_RPM": "1000000000",
    "RATE_LIMIT_ANONYMOUS_RPM": "1000000000",
    "CACHE_TIMEOUT_SECONDS": "5",  # on a busy machine the API would do without the cache
}
ITEMS = 100
BARE, FROM_REDIS, BY_ASYNCPG, BY_ORM = "bare FastAPI", "FastAPI, Redis", "FastAPI, asyncpg", "FastAPI, ORM"
REFERENCES = {BARE: "bare", FROM_REDIS: "redis_item", BY_ASYNCPG: "asyncpg_item", BY_ORM: "orm_item"}
HEALTH, CACHED, UNCACHED, LIMITS = "health", "cached item", "uncached item", "limits/current"


class Goal(NamedTuple):
    """A route, what it is compared with, and how many times as many requests it should answer."""

    route: str
    reference: str
    ratio: float | None


GOALS = (
    Goal(HEALTH, BARE, 0.75),
    Goal(CACHED, BY_ORM, 2.0),
    Goal(CACHED, FROM_REDIS, 0.7),
    Goal(UNCACHED, BY_ORM, 1.2),
    Goal(UNCACHED, BY_ASYNCPG, None),
    Goal(LIMITS, BY_ORM, 1.0),
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A request, and the process that answers it."""

    request: Request
    process_id: int


class Measurement(NamedTuple):
    """Answers a second, and processor milliseconds of the server for each."""

    rate: float
    cpu: float


def measure(contestant: Contestant, seconds: int) -> Measurement:
    worked = cpu_seconds(contestant.process_id)
    load = offer_load(contestant.request, seconds)
    if not load.answers:
        raise SystemExit(f"{contestant.request.path}: no answer in {seconds} s, the machine is too busy")
    return Measurement(load.rate, (cpu_seconds(contestant.process_id) - worked) * 1000 / load.answers)


def split_cores() -> tuple[set[int], set[int]]:
    """Return the core of the measured servers, and those of everything else."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


def api_process_of(stack: Server) -> int:
    """Return the id of the API process that `cli.py up` has started."""
    parent = stack.process.pid
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if "\0api\0" in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    raise SystemExit("cli.py up has no API process")


@contextmanager
def our_api(data: Path, cores: set[int], *, alone: bool) -> Iterator[tuple[Server, int]]:
    """Run the API, and yield it with the id of its process."""
    server = (
        ApiProcess(data, LOG_LEVEL="INFO", **OUR_SETTINGS) if alone else Server(data, "cli.py", "up", **OUR_SETTINGS)
    )
    with running([server]):
        server.wait_healthy()
        process_id = server.process.pid if alone else api_process_of(server)
        pin(process_id, cores)
        yield server, process_id


@contextmanager
def references(
    data: Path, cores: set[int], addresses: ServiceAddresses, protocol: str
) -> Iterator[Mapping[str, Server]]:
    """Run the reference applications."""
    variables = {DATABASE: addresses.owner_url.render_as_string(hide_password=False), REDIS: addresses.redis_url}
    servers = {
        name: UvicornProcess(
            data, f"bench.reference.{module}:app", protocol=protocol, ready_path="/openapi.json", **variables
        )
        for name, module in REFERENCES.items()
    }
    with running(servers.values()):
        for server in servers.values():
            server.wait_healthy()
            pin(server.process.pid, cores)
        yield servers


def our_requests(url: str, port: int, plan: str) -> tuple[str, dict[str, Request]]:
    """Make items and a tenant, and return the id of an item and the requests of our routes."""
    with httpx2.Client(base_url=url, timeout=30) as client:
        for number in range(ITEMS):
            item = {"name": f"Notebook {number}", "description": "Plain pages " * 8}
            made = client.post("/items/", json=item).raise_for_status().json()
    _, headers = make_tenant(url, plan)
    path = f"/api/v1/items/{made['id']}"
    requests = {
        HEALTH: Request(port, "/api/v1/health"),
        CACHED: Request(port, path),
        UNCACHED: Request(port, path, fresh=True),
        LIMITS: Request(port, "/api/v1/limits/current", headers),
    }
    return made["id"], {name: request.with_expected_body() for name, request in requests.items()}


def reference_requests(item_id: str, item: bytes, servers: Mapping[str, Server], redis_url: str) -> dict[str, Request]:
    """Store the item for the application that reads Redis, and return the requests of the references.

    Raises:
        SystemExit: an application answers with another item than ours.
    """
    with Redis.from_url(redis_url) as redis:
        redis.set(REDIS_KEY.format(item_id), item)
    paths = {name: "/health" if name == BARE else f"/items/{item_id}" for name in servers}
    found = {name: Request(server.port, paths[name]).with_expected_body() for name, server in servers.items()}
    for name, request in found.items():
        if name != BARE and request.body != item:
            raise SystemExit(f"{name} answers {request.body!r}, but our item is {item!r}")
    return found


def play(contestants: Mapping[str, Contestant], *, rounds: int, seconds: int) -> dict[str, list[Measurement]]:
    """Warm all of them up, and measure them in turn. Every other round goes backwards."""
    measured: dict[str, list[Measurement]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        offer_load(contestant.request, seconds)
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            measured[name].append(measure(contestants[name], seconds))
    return measured


def report(measured: Mapping[str, Sequence[Measurement]]) -> None:
    print("| | requests a second | CPU ms of the server each |\n| --- | --- | --- |")
    for name, found in measured.items():
        rate, cpu = (median(values) for values in zip(*found, strict=True))
        print(f"| {name} | {rate:,.0f} | {cpu:.2f} |")
    print("\n| route | beside | requests a second, ratio (rounds) | goal | CPU of theirs, to ours (rounds) |")
    print("| --- | --- | --- | --- | --- |")
    for goal in GOALS:
        own, other = measured[goal.route], measured[goal.reference]
        rates = compare([each.rate for each in own], [each.rate for each in other])
        costs = compare([each.cpu for each in other], [each.cpu for each in own])
        print(f"| {goal.route} | {goal.reference} | {rates} | {goal.ratio or ''} | {costs} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--protocol", default=BOUNDED)
    options = parser.parse_args()
    cores, other_cores = split_cores()
    os.sched_setaffinity(0, other_cores)  # what we start inherits it: generator, PostgreSQL, Valkey, worker
    with ExitStack() as stack:
        addresses, folder = stack.enter_context(bench_servers())
        data = folder / "data"
        api, process_id = stack.enter_context(our_api(data, cores, alone=options.alone))
        servers = stack.enter_context(references(data, cores, addresses, options.protocol))
        item_id, ours = our_requests(api.url, api.port, asyncio.run(make_plan(addresses)))
        theirs = reference_requests(item_id, ours[CACHED].body, servers, addresses.redis_url)
        contestants = {name: Contestant(request, process_id) for name, request in ours.items()}
        contestants |= {name: Contestant(request, servers[name].process.pid) for name, request in theirs.items()}
        load = os.getloadavg()[0]
        measured = play(contestants, rounds=options.rounds, seconds=options.seconds)
    kind = "API alone" if options.alone else "whole stack"
    print(
        f"{kind}, {generator_name()} with {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, ",
        end="",
    )
    print(f"load average before {load:.1f}; servers on core {min(cores)}, the rest on {sorted(other_cores)}\n")
    report(measured)


if __name__ == "__main__":
    main()
