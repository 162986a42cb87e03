"""Serves real HTTP on the loopback address, in a process of its own or on the event loop of a test."""

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
from openai_simulator.state import SimulatorState

LOOPBACK: Final = "127.0.0.1"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that is being served. Callers on the same event loop may read and change `simulator` directly."""

    origin: str
    simulator: Simulator

    @property
    def base_url(self) -> str:
        """Return the address to set as OPENAI_BASE_URL."""
        return f"{self.origin}/v1"

    @property
    def control_url(self) -> str:
        return f"{self.origin}/_sim"


class _Protocol(HttpToolsProtocol):
    """Gives the application two functions that cut the connection, since ASGI has no message for that."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cuts: dict[object, object] = {"abort": self.transport.abort, "close": self.transport.close}
        self.scope["extensions"] = {"connection": cuts}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signal handlers to the program that runs this server."""
        yield


async def serve(port: int, state_file: Path | None) -> None:
    """Serve until a signal ends the process."""
    simulator = Simulator(SimulatorState(state_file))
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
    """Serve a simulator on a free port of this process while the block runs."""
    simulator = Simulator(SimulatorState(state_file))
    simulator.resume()
    async with served(_config(simulator, 0), before_stop=simulator.stop) as origin:
        yield RunningSimulator(origin, simulator)


async def _nothing() -> None:
    pass


@asynccontextmanager
async def served(
    config: uvicorn.Config, *, before_stop: Callable[[], Awaitable[None]] = _nothing
) -> AsyncGenerator[str]:
    """Serve any application on a free port and on the event loop of the caller; yield its origin."""
    listening = socket.create_server((LOOPBACK, 0))
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn gives no event to wait for
            await asyncio.sleep(0.005)
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await before_stop()
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
