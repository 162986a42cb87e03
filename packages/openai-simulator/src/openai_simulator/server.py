"""Real HTTP on the loopback address, as a process of its own or beside a test on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openai_simulator.app import create_app
from openai_simulator.simulator import Simulator
from openai_simulator.state import State

LOOPBACK: Final = "127.0.0.1"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """`simulator` may be read and changed directly by callers on the same event loop."""

    origin: str
    simulator: Simulator

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL takes."""
        return f"{self.origin}/v1"

    @property
    def control_url(self) -> str:
        return f"{self.origin}/_sim"


class _Protocol(HttpToolsProtocol):
    """Lets the application cut the connection, which ASGI has no message for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cuts: dict[object, object] = {"abort": self.transport.abort, "close": self.transport.close}
        self.scope["extensions"] = {"connection": cuts}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """They belong to the program around it."""
        yield


async def serve(port: int, state_file: Path | None) -> None:
    """Until a signal ends it."""
    simulator = Simulator(State(state_file))
    simulator.resume()
    log.warning(
        "this is a simulator of OpenAI's service: it has no model and keeps no secret; never use it in production",
        base_url=f"http://{LOOPBACK}:{port}/v1",
        control=f"http://{LOOPBACK}:{port}/_sim/",
        state_file=str(state_file) if state_file else None,
    )
    try:
        await uvicorn.Server(_config(simulator, port)).serve()
    finally:
        await simulator.stop()


@asynccontextmanager
async def running_simulator(state_file: Path | None = None) -> AsyncGenerator[RunningSimulator]:
    """On a free port of this process."""
    simulator = Simulator(State(state_file))
    simulator.resume()
    async with served(_config(simulator, 0), before_the_end=simulator.stop) as origin:
        yield RunningSimulator(origin, simulator)


async def _nothing() -> None:
    pass


@asynccontextmanager
async def served(
    config: uvicorn.Config, *, before_the_end: Callable[[], Awaitable[None]] = _nothing
) -> AsyncGenerator[str]:
    """The origin of an application on a free port, on the event loop of the caller."""
    listening = socket.create_server((LOOPBACK, 0))
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await before_the_end()
        await serving
        listening.close()


def _config(simulator: Simulator, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(simulator),
        host=LOOPBACK,
        port=port,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
