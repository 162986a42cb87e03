"""Measures what the rate limit admits in real processes, what a patient client meets, and what a window costs.

    python -m bench.rate_limits matrix [--seconds 130] [--limits 10 100 1000]
    python -m bench.rate_limits obedient [--seconds 300]
    python -m bench.rate_limits outage
    python -m bench.rate_limits cost

`matrix`: limits x loads x one and four processes. `obedient`: clients that want 1.5 times their limit and
obey the headers. `outage`: what requests wait for a Redis that is silent, cut off, and back. `cost`: memory and time of
a window of 10 to 10^6 units.

An admitted request took its unit between its sending and its answer, so a minute that holds both of these moments of
more than N requests would prove the limit broken.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import httpx2
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bench.harness import bench_servers
from bench.processes import api_processes, make_plan, make_tenant
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import FlakyRedis

LIMITS = (10, 100, 1000)
LOADS = (0.9, 1.0, 1.5, 2.0)
PATH = "/query/messages/0190f0f0-0000-7000-8000-000000000000"
WINDOW = 60.0
# the server closes connections that idle: none is used again, so that none is used just then
CONNECTIONS = httpx2.Limits(max_connections=None, max_keepalive_connections=0)


@dataclass
class Caller:
    """A tenant that sends at an even pace to some processes in turn."""

    limit: int
    load: float
    urls: Sequence[str]
    headers: dict[str, str]
    answered: list[float] = field(default_factory=list)
    admitted: list[tuple[float, float]] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)

    async def run(self, client: httpx2.AsyncClient, seconds: float) -> None:
        began, pace = time.monotonic(), WINDOW / (self.limit * self.load)
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds / pace)):
                await asyncio.sleep(max(0.0, began + number * pace - time.monotonic()))
                group.create_task(self.send(client, self.urls[number % len(self.urls)]))

    async def send(self, client: httpx2.AsyncClient, url: str) -> None:
        sent = time.monotonic()
        answer = await client.get(url + PATH, headers=self.headers)
        self.answered.append(time.monotonic())
        if answer.status_code == 404:
            self.admitted.append((sent, self.answered[-1]))
        else:
            self.others[answer.status_code] += 1

    def most_in_a_minute(self) -> int:
        starts = sorted(sent for sent, _ in self.admitted)
        ends = sorted(self.admitted, key=lambda pair: pair[1])
        return max(sum(start <= sent and end <= start + WINDOW for sent, end in ends) for start in starts)

    def allowed_at_best(self) -> int:
        """Return what a limiter that decides at the moments of the answers would admit."""
        taken: list[float] = []
        first = 0
        for now in self.answered:
            while first < len(taken) and taken[first] + WINDOW <= now:
                first += 1
            if len(taken) - first < self.limit:
                taken.append(now)
        return len(taken)


async def matrix(
    addresses: ServiceAddresses, urls: Sequence[str], seconds: float, limits: Sequence[int] = LIMITS
) -> None:
    plans = {limit: await make_plan(addresses, rpm=limit) for limit in limits}
    print("limit  load  processes   sent  admitted  of the allowed  most in 60 s  other statuses")
    # in turns, so that neither the processes nor this one are the bottleneck
    for together, count in product(([10, 100], [1000]), (1, len(urls))):
        callers = [
            Caller(limit, load, urls[:count], make_tenant(urls[0], plans[limit])[1])
            for limit, load in product(sorted(plans.keys() & set(together)), LOADS)
        ]
        async with httpx2.AsyncClient(timeout=30, limits=CONNECTIONS) as client:
            await asyncio.gather(*(caller.run(client, seconds) for caller in callers))
        _report(callers)


def _report(callers: Sequence[Caller]) -> None:
    for caller in callers:
        used = len(caller.admitted) / caller.allowed_at_best()
        most, answered = caller.most_in_a_minute(), len(caller.answered)
        print(
            f"{caller.limit:5}  {caller.load:4}  {len(caller.urls):9}  {answered:5}  {len(caller.admitted):8}"
            f"  {used:14.1%}  {most:12}  {dict(caller.others)}",
            flush=True,
        )
        assert most <= caller.limit, "over the limit"
        assert used >= 0.95, "too few admitted"
        assert set(caller.others) <= {429}


async def obedient(addresses: ServiceAddresses, urls: Sequence[str], seconds: float) -> None:
    """They want 1.5 times their limit, and wait as long as the headers say."""
    await asyncio.gather(*(_obey(addresses, urls, limit, seconds) for limit in (60, 600)))


async def _obey(addresses: ServiceAddresses, urls: Sequence[str], limit: int, seconds: float) -> None:
    _, headers = make_tenant(urls[0], await make_plan(addresses, rpm=limit))
    statuses: Counter[int] = Counter()
    began = next_at = time.monotonic()
    async with httpx2.AsyncClient(timeout=30, limits=CONNECTIONS) as client:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            answer = await client.get(urls[statuses.total() % len(urls)] + PATH, headers=headers)
            statuses[answer.status_code] += 1
            next_at += WINDOW / (1.5 * limit)
            if answer.headers["x-ratelimit-remaining"] == "0":
                next_at = time.monotonic() + float(answer.headers["x-ratelimit-reset"])
    share = statuses[429] / statuses.total()
    print(f"limit {limit}: {dict(statuses)} in {seconds:.0f} s, {share:.2%} refused")
    assert share <= 0.01


async def outage(addresses: ServiceAddresses) -> None:
    """The limiter alone, so that what is measured is the wait for Redis."""
    async with (
        FlakyRedis(addresses.redis_url) as line,
        AsyncRedis.from_url(line.url, retry=Retry(NoBackoff(), 1)) as client,
    ):
        limiter = RateLimiter(client)
        await _pace(limiter, seconds=1)  # connections are made
        for state, change in (
            ("working", line.restore),
            ("silent", line.hang),
            ("working again", line.restore),
            ("cut off", line.cut),
            ("working again", line.restore),
        ):
            await change()
            waits, degraded = await _pace(limiter, seconds=12)
            late = statistics.quantiles(waits, n=1000)
            print(
                f"{state:14} {len(waits)} requests, {degraded} decided alone; waits: median {late[499] * 1000:.2f} ms, "
                f"p99.9 {late[-1] * 1000:.1f} ms, longest {max(waits) * 1000:.1f} ms"
            )


async def _pace(limiter: RateLimiter, *, seconds: float) -> tuple[list[float], int]:
    waits: list[float] = []
    degraded = 0

    async def hit() -> None:
        nonlocal degraded
        began = time.perf_counter()
        decision = await limiter.hit(f"bench:{new_id()}", 100)
        waits.append(time.perf_counter() - began)
        degraded += decision.degraded

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while time.monotonic() - began < seconds:
            group.create_task(hit())
            await asyncio.sleep(0.005)
    return waits, degraded


async def cost(addresses: ServiceAddresses) -> None:
    """A full window, filled at an even pace by moving its entries into the past."""
    redis = Redis.from_url(addresses.redis_url)
    async with AsyncRedis.from_url(addresses.redis_url) as client:
        limiter = RateLimiter(client)
        print("      N  entries  memory       hit     refused")
        for limit in (10, 100, 1000, 10_000, 100_000, 1_000_000):
            key = f"bench:{new_id()}"
            now, entries = redis.time(), min(limit, 1000)
            newest = now[0] * 1_000_000 + now[1]
            window = [
                number
                for index in range(entries, 0, -1)
                for number in (newest - index * 55_000_000 // entries, limit // entries)
            ]
            redis.rpush(f"rate:{{{key}}}", *window, limit, 0)
            memory = redis.memory_usage(f"rate:{{{key}}}")
            refused = await _median_ms(limiter, key, limit)
            hit = await _median_ms(limiter, key, limit + 10_000)
            print(f"{limit:7}  {entries:7}  {memory:6} B  {hit:6.3f} ms  {refused:6.3f} ms")
    redis.close()


async def _median_ms(limiter: RateLimiter, key: str, limit: int) -> float:
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        await limiter.hit(key, limit)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("matrix", "obedient", "outage", "cost"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--limits", type=int, nargs="*", choices=LIMITS, default=LIMITS)
    options = parser.parse_args()
    with bench_servers() as (addresses, folder):
        if options.what in {"outage", "cost"}:
            asyncio.run({"outage": outage, "cost": cost}[options.what](addresses))
            return
        # hundreds of tenants are made from one address
        with api_processes(folder / "data", 4, RATE_LIMIT_ANONYMOUS_RPM="100000") as processes:
            urls = [process.url for process in processes]
            if options.what == "matrix":
                asyncio.run(matrix(addresses, urls, options.seconds or 130, options.limits))
            else:
                asyncio.run(obedient(addresses, urls, options.seconds or 300))


if __name__ == "__main__":
    main()
