"""A recording of every command that reaches a Redis database number, with keys, values and messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from fastapi_ignite.core.ids import new_id


@contextmanager
def recorded(redis: Redis) -> Iterator[list[str]]:
    """Record the commands until the block ends, also those of scripts; the list is complete after the block."""
    commands: list[str] = []
    number = redis.connection_pool.connection_kwargs["db"]
    end = f"ECHO {new_id()}"
    ready = threading.Event()

    def listen() -> None:
        with redis.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py annotates some commands only
            ready.set()
            for line in monitor.listen():
                if line["command"] == end:
                    return
                if line["db"] == number:
                    commands.append(line["command"])

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    ready.wait()
    try:
        yield commands
    finally:
        redis.echo(end.removeprefix("ECHO "))
        listener.join()
