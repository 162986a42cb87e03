"""Fixtures of the simulator over real HTTP, and of the official SDK as its client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

import httpx2
import pytest
from openai import AsyncOpenAI

from openai_simulator.server import RunningSimulator

SIGHT = "The lighthouse of Aldara was built in 1874 by the engineer Mira Tannen."
TIDES = "Boats may enter the harbour two hours before high tide."
Upload = Callable[..., Awaitable[str]]


@pytest.fixture
async def sdk(provider: RunningSimulator) -> AsyncGenerator[AsyncOpenAI]:
    """Yield a client that never retries, so that a test sees each failure."""
    async with AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def control(provider: RunningSimulator) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of the control API."""
    async with httpx2.AsyncClient(base_url=provider.control_url) as client:
        yield client


@pytest.fixture
def upload(sdk: AsyncOpenAI) -> Upload:
    """Return a function that uploads a file and returns its id."""

    async def make(text: str | bytes = f"{SIGHT}\n\n{TIDES}\n", name: str = "aldara.txt") -> str:
        data = text.encode() if isinstance(text, str) else text
        return (await sdk.files.create(file=(name, data), purpose="assistants")).id

    return make


@pytest.fixture
async def store_id(sdk: AsyncOpenAI, upload: Upload) -> str:
    """Make a store that holds one file, and return its id."""
    store = await sdk.vector_stores.create(name="harbour")
    await sdk.vector_stores.files.create_and_poll(await upload(), vector_store_id=store.id, poll_interval_ms=10)
    return store.id
