"""Programs that use a cache in other processes."""

from __future__ import annotations

import subprocess
import sys

from infra.embedded_instances import ENVIRONMENT

_OPEN = """
import asyncio, itertools, os, sys
from pathlib import Path
from fastapi_ignite.infra.cache import Cache, FileBackend, RedisBackend, cached, use_cache

def open_backend(place, namespace):
    if place.startswith("redis"):
        return RedisBackend(place, namespace=namespace, timeout=30)
    return FileBackend(Path(place), max_bytes=int(namespace))
"""

# Calls one function many times at once after a line on stdin. Prints "loading" when it runs, and then the results.
CROWD = (
    _OPEN
    + """
place, namespace, journal, callers, seconds, lock_seconds = sys.argv[1:]

@cached(key="crowd", ttl=60, tags=["t"], shared=True)
async def load() -> str:
    with open(journal, "a") as file:
        file.write(f"{os.getpid()}\\n")
    print("loading", flush=True)
    await asyncio.sleep(float(seconds))
    return str(os.getpid())

async def main():
    cache = Cache(open_backend(place, namespace), timeout=30, lock_seconds=float(lock_seconds))
    with use_cache(cache):
        await cache.invalidate("-:warm-up")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        found = await asyncio.gather(*(load() for _ in range(int(callers))))
        print(*sorted(set(found)), flush=True)
    await cache.close()

asyncio.run(main())
"""
)

# Writes entries of one repeated byte under a few keys, until it is killed or `count` are stored. It repeats refusals.
WRITER = (
    _OPEN
    + """
place, namespace, size, keys, count = sys.argv[1:]

async def main():
    backend = open_backend(place, namespace)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    numbers, stored = itertools.count(), 0
    while stored < int(count):
        number = next(numbers)
        key = f"key:{os.getpid() if int(keys) == 0 else number % int(keys)}:{number if int(keys) == 0 else 0}"
        if await backend.write(key, bytes([number % 251]) * int(size), 60, (), ()):
            stored += 1
        else:
            await asyncio.sleep(0.001)
    print(stored, flush=True)
    await backend.close()

asyncio.run(main())
"""
)


class Program:
    """Runs a program in another process. A test can wait for its lines, let it continue, and kill it."""

    def __init__(self, source: str, *arguments: object) -> None:
        self._process = subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
            [sys.executable, "-c", source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def line(self) -> str:
        """Return the next line that it prints, or an empty text if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process without any clean-up, as a crash does."""
        self._process.kill()
        self._process.communicate()
