"""Tests that no process of a running stack can be read by another process of the same user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from infra.embedded_instances import wait_until
from support.command_line import CommandLine, open_folder
from support.databases import new_database
from support.running_stack import RunningStack

from embedded_services.processes import command_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="dumpable processes are a notion of Linux"),
]

# Runs a command as an ordinary user. Root can read every process, so it must give up its capabilities.
AS_ORDINARY_USER = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
SECRET = "JWT_SECRET=known-to-the-stack-alone"


@pytest.fixture
def stack(addresses: ServiceAddresses) -> Iterator[RunningStack]:
    """Run a stack as an ordinary user, on the servers of the tests."""
    with open_folder() as folder, new_database(addresses, template="template_migrated") as own:
        servers = CommandLine.on_servers(folder, own).environment
        outside = {name: servers[name] for name in ("DATABASE_URL", "REDIS_URL")}
        name, _, value = SECRET.partition("=")
        running = RunningStack(folder, launcher=AS_ORDINARY_USER, RAG_EMBEDDER="none", **outside, **{name: value})
        try:
            yield running.wait_until_healthy()
        finally:
            running.end()


def environment_of(pid: int) -> str:
    """Return what an ordinary process can read of the environment of this process, or an empty text if it may not."""
    read = subprocess.run(  # noqa: S603  runs a fixed command
        [*AS_ORDINARY_USER, "cat", f"/proc/{pid}/environ"], capture_output=True, text=True, check=False
    )
    assert read.returncode == 0 or "Permission denied" in read.stderr, read.stderr
    return read.stdout


def test_no_process_of_a_stack_shows_its_environment_or_memory(stack: RunningStack) -> None:
    wait_until(lambda: stack.readiness()["status"] == "ready", "all parts are at work", 60)
    processes = {pid: command_of(pid) or "" for pid in stack.processes()}
    for part, least in {"cli.py up": 1, "cli api": 1, "cli worker": 2, "cli scheduler": 1}.items():
        assert sum(part in command for command in processes.values()) >= least, processes
    assert [command for pid, command in processes.items() if environment_of(pid)] == []


def test_a_process_that_does_not_care_shows_its_environment(tmp_path: Path) -> None:
    """This test shows that the test above would find the secret."""
    name, _, value = SECRET.partition("=")
    careless = [*AS_ORDINARY_USER, sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
        careless, env={name: value}, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert SECRET in environment_of(process.pid)
