"""`cli.py openai-sim` as a process, whose state survives every way in which the process ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIConnectionError, OpenAI

from infra.embedded_instances import wait_until
from openai_sim.conftest import SIGHT
from support.command_line import CommandLine, free_port
from support.tokens import STRONG_SECRET

MODEL = "gpt-4.1-mini"


class SimulatorProcess:
    """A simulator process with its own port and state file."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.sdk = OpenAI(base_url=f"{self.origin}/v1", api_key="sk-test", max_retries=0, timeout=20)
        self._folder = folder
        self.start()

    def start(self) -> None:
        with (self._folder / "sim.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own program
                CommandLine.command("openai-sim", "--port", str(self.port), "--state", str(self._folder / "sim.db")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=CommandLine(self._folder).environment,
            )
        wait_until(self._answers, "the simulator answers", 60)

    @property
    def log(self) -> str:
        return (self._folder / "sim.log").read_text()

    def control(self, method: str, path: str, **options: Any) -> Any:
        answer = httpx2.request(method, f"{self.origin}/_sim{path}", **options)
        return answer.raise_for_status().json()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return httpx2.get(f"{self.origin}/_sim/").is_success
        except httpx2.TransportError:
            return False


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[], SimulatorProcess]]:
    """Return a function that starts a simulator; all of them are ended after the test."""
    started: list[SimulatorProcess] = []

    def make() -> SimulatorProcess:
        started.append(SimulatorProcess(tmp_path))
        return started[-1]

    yield make
    for each in started:
        each.sdk.close()
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_it_survives_a_crash_between_effect_and_answer(launch: Callable[[], SimulatorProcess]) -> None:
    running = launch()
    assert "never use it in production" in running.log
    store = running.sdk.vector_stores.create()
    file = running.sdk.files.create(file=("a.txt", SIGHT.encode()), purpose="assistants")
    running.sdk.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=10)

    running.control("POST", "/faults", json={"route": "vector_stores.create", "kind": "crash", "when": "after"})
    with pytest.raises(APIConnectionError):
        running.sdk.vector_stores.create(metadata={"ours": "1"})
    assert running.process.wait(20) == 70

    running.start()
    assert running.control("GET", "/counters")["created"]["vector_stores"] == 2
    (orphan,) = [each for each in running.sdk.vector_stores.list() if each.id != store.id]
    assert orphan.metadata == {"ours": "1"}
    (hit,) = running.sdk.vector_stores.search(store.id, query="lighthouse").data
    assert hit.content[0].text == SIGHT
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(20)
    assert "Traceback" not in running.log


def test_files_in_progress_are_indexed_after_a_restart(launch: Callable[[], SimulatorProcess]) -> None:
    running = launch()
    running.control("PATCH", "/settings", json={"processing_seconds": 600})
    file = running.sdk.files.create(file=("a.txt", SIGHT.encode()), purpose="assistants")
    store = running.sdk.vector_stores.create(file_ids=[file.id])
    running.process.kill()
    running.process.wait(20)

    running.start()
    polled = running.sdk.vector_stores.files.poll(file.id, vector_store_id=store.id, poll_interval_ms=10)
    assert polled.status == "completed"


def test_production_is_refused(tmp_path: Path) -> None:
    secrets = {"ENV": "production", "JWT_SECRET": STRONG_SECRET, "BACKEND_CORS_ORIGINS": "https://app.example.com"}
    commands = CommandLine(tmp_path, **secrets)
    refused = commands.run("openai-sim", "--port", str(free_port())).refused_with()
    assert refused == "The OpenAI simulator does not run with ENV=production."
