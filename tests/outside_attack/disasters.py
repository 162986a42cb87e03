"""The disasters that strike a stack: each strikes once, and is over when its coroutine returns."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from outside_attack.attacked_stack import AttackedStack
from support.commit_proxy import Loss

KILLED = ("up", "api", "worker", "worker process", "scheduler", "guardian", "postgres", "backend", "valkey", "parser")
# The worker's main process is not in the list: it only starts and stops its processes (ADR 8).
HUNG = ("api", "worker process", "scheduler", "valkey", "postgres")
OUTAGE_SECONDS = 3
LOST_COMMITS = 20
FIND_SECONDS = 10
REPLACED_SECONDS = 90
FILL_BLOCK = 4 * 1024 * 1024
Disaster = Callable[[AttackedStack], Awaitable[str]]


async def kill(part: str, stack: AttackedStack) -> str:
    if await _strike(stack, part, signal.SIGKILL) is None:
        return "did not run"
    return ""


async def hang(part: str, stack: AttackedStack) -> str:
    """Stop a part with SIGSTOP, and wait until somebody replaces it."""
    pid = await _strike(stack, part, signal.SIGSTOP)
    if pid is None:
        return "did not run"
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.3)  # the signal takes effect when the process is next scheduled
    while _is_stopped(pid):
        if asyncio.get_running_loop().time() - began > REPLACED_SECONDS:
            raise AssertionError(f"{part} hung for {REPLACED_SECONDS} s and nobody replaced it")
        await asyncio.sleep(0.1)
    return f"replaced after {asyncio.get_running_loop().time() - began:.0f} s"


async def _strike(stack: AttackedStack, part: str, number: signal.Signals) -> int | None:
    """Send a signal to a part; wait for the part first, because a parser runs only for a moment."""
    for _ in range(FIND_SECONDS * 100):
        pid = await asyncio.to_thread(stack.send, part, number)
        if pid is not None:
            return pid
        await asyncio.sleep(0.01)
    return None


def _is_stopped(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"


async def lose_commits(loss: Loss, stack: AttackedStack) -> str:
    """Lose the next COMMITs, or the answers to executed COMMITs, as a failover does."""
    stack.proxy.lose(loss, LOST_COMMITS)
    await asyncio.sleep(OUTAGE_SECONDS)
    return f"{stack.proxy.restore()} lost"


async def take_connections(stack: AttackedStack) -> str:
    """Open connections until PostgreSQL has none left for others."""
    url = stack.addresses.owner_url
    taken: list[asyncpg.Connection] = []
    with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
        while True:
            taken.append(
                await asyncpg.connect(
                    host=url.host,
                    port=url.port,
                    user=url.username,
                    password=url.password,
                    database=url.database,
                    timeout=5,
                )
            )
    await asyncio.sleep(OUTAGE_SECONDS)
    for connection in taken:
        connection.terminate()
    return f"{len(taken)} taken"


async def end_backends(stack: AttackedStack) -> str:
    """End all connections of the stack, as a failover does. A server that is away just then has none."""
    url = stack.addresses.owner_url
    try:
        connection = await asyncpg.connect(
            host=url.host, port=url.port, user=url.username, password=url.password, database=url.database, timeout=10
        )
        try:
            ended = await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ignite-%'"
            )
        finally:
            connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return type(error).__name__
    return f"{len(ended)} ended"


async def flush_redis(stack: AttackedStack) -> str:
    """Remove every key of Redis: queues, windows, heartbeats, caches."""
    redis = Redis.from_url(stack.addresses.redis_url, socket_timeout=5)
    try:
        await redis.flushall()
    except (RedisError, OSError) as error:
        return type(error).__name__
    finally:
        await redis.aclose()
    return ""


async def fill_disk(stack: AttackedStack) -> str:
    """Fill the file system of the stack to the last byte."""
    ballast = stack.folder / "ballast"
    await asyncio.to_thread(_write_until_full, ballast)
    size = ballast.stat().st_size
    await asyncio.sleep(OUTAGE_SECONDS)
    ballast.unlink()
    return f"{size // 2**20} MB written"


def _write_until_full(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(FILL_BLOCK))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(512)):
            pass


DISASTERS: dict[str, Disaster] = {
    **{f"kill {part}": partial(kill, part) for part in KILLED},
    **{f"hang {part}": partial(hang, part) for part in HUNG},
    "lose COMMIT answers": partial(lose_commits, Loss.ANSWER),
    "lose COMMITs": partial(lose_commits, Loss.COMMIT),
    "lose COMMIT answer and server": partial(lose_commits, Loss.ANSWER_AND_SERVER),
    "take connections": take_connections,
    "end connections": end_backends,
    "flush Redis": flush_redis,
    "fill disk": fill_disk,
}


def shuffled(names: list[str], rounds: int, source: random.Random) -> list[str]:
    """Return `rounds` names in a random order; each name occurs as often as the others."""
    chosen: list[str] = []
    while len(chosen) < rounds:
        chosen += source.sample(names, len(names))
    return chosen[:rounds]
