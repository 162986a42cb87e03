"""Tests of `cli.py up` and `down`: a stack that is used, one that is killed, and some that cannot start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from infra.embedded_instances import ENVIRONMENT, wait_until
from support.command_line import CommandLine, free_port, open_folder
from support.running_stack import RunningStack

from embedded_services import status
from embedded_services.processes import command_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    """Return a stack that the tests share. They must leave it running."""
    with open_folder() as made:
        running = RunningStack(made, RAG_EMBEDDER="none", IGNITE_HUNG_SECONDS="5")
        try:
            yield running.wait_until_healthy()
        finally:
            running.end()


class TestRunning:
    def test_it_says_where_it_listens_and_merges_the_logs(self, stack: RunningStack) -> None:
        assert f"Starting http://127.0.0.1:{stack.port} " in stack.printed
        assert re.search(r"(?m)^api        \| .*Application startup complete", stack.printed)
        assert re.search(r"(?m)^scheduler  \| .*scheduler started", stack.printed)

    def test_a_token_of_the_command_line_opens_the_api(self, stack: RunningStack) -> None:
        created = httpx2.post(f"{stack.api}/tenants/create", params={"name": "Acme", "plan_id": "hobby"}).json()
        token = stack.commands.run("token", created["tenant_id"]).succeeded().strip()
        limits = httpx2.get(f"{stack.api}/limits/current", headers={"Authorization": f"Bearer {token}"})
        assert (limits.status_code, limits.json()["plan_id"]) == (200, "hobby")

    def test_the_doctor_finds_it_healthy(self, stack: RunningStack) -> None:
        finished = stack.commands.run("doctor")
        finished.succeeded()
        found = finished.findings()
        assert re.match(r"ok PostgreSQL on \d+, Valkey on \d+$", found["embedded"])
        assert found["database"].startswith("ok at migration ")

    def test_requests_go_before_background_work(self, stack: RunningStack) -> None:
        def niceness(part: str) -> int:
            found = [pid for pid in stack.processes() if part in (command_of(pid) or "")]
            return max(os.getpriority(os.PRIO_PROCESS, pid) for pid in found)

        def session_niceness(part: str) -> int:
            """Return the niceness of the scheduling group in which Linux puts the processes of a session."""
            found = [pid for pid in stack.processes() if part in (command_of(pid) or "")]
            return max(int(Path(f"/proc/{pid}/autogroup").read_text().rpartition("nice")[2]) for pid in found)

        wait_until(lambda: niceness("cli worker") > niceness("cli api"), "the worker gives way", 30)
        if Path("/proc/self/autogroup").exists():
            assert session_niceness("cli worker") > session_niceness("cli api")

    def test_a_second_one_on_its_folder_is_refused(self, stack: RunningStack) -> None:
        refused = stack.commands.run("up", "--port", str(free_port())).refused_with()
        assert refused.startswith(f"A stack is already running on {stack.commands.data_dir}")
        assert httpx2.get(f"{stack.api}/health").is_success

    def test_one_of_another_folder_on_its_port_is_refused(self, stack: RunningStack, folder: Path) -> None:
        other = CommandLine(folder, PORT=str(stack.port))
        refused = other.run("up").refused_with()
        assert refused.startswith(f"Cannot listen on 127.0.0.1:{stack.port} (Address already in use)")
        assert not (other.data_dir / "postgres").exists()


@pytest.mark.timeout(360)
def test_what_hangs_is_replaced_and_work_goes_on(stack: RunningStack) -> None:
    """API, worker process, scheduler and Valkey hang at once. The next upload succeeds only if all of them are back."""
    created = httpx2.post(f"{stack.api}/tenants/create", params={"name": "Acme", "plan_id": "hobby"}).json()
    token = stack.commands.run("token", created["tenant_id"]).succeeded().strip()
    bearer = {"Authorization": f"Bearer {token}"}
    project = httpx2.post(
        f"{stack.api}/ingestion/projects/create",
        params={"tenant_id": created["tenant_id"], "name": "Docs"},
        headers=bearer,
    ).json()["id"]

    api, scheduler = (stack.processes_of(f"cli {name}")[0] for name in ("api", "scheduler"))
    worker = stack.processes_of("cli worker")[-1]  # the child of the process that `up` started
    valkey = status(stack.commands.data_dir).redis_pid
    assert valkey is not None
    stopped = {api, worker, scheduler, valkey}
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)

    wait_until(lambda: not any(map(command_of, stopped)), "all of them were replaced", 120)
    for name in ("api", "worker", "scheduler"):
        assert re.search(rf"supervisor \| {name} \(process \d+\) hangs: no heartbeat", stack.printed), stack.printed
    stack.wait_until_healthy()
    wait_until(lambda: stack.readiness()["status"] == "ready", "worker and scheduler are back", 120)
    uploaded = httpx2.post(
        f"{stack.api}/ingestion/projects/{project}/upload_and_attach",
        params={"tenant_id": created["tenant_id"], "wait_seconds": 60},
        headers=bearer,
        files={"files": ("guide.txt", b"The orchard keeps nine apple trees.")},
        timeout=70,
    ).json()
    assert uploaded["batch_status"] == "completed", uploaded


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., RunningStack]]:
    """Return a function that starts a stack in the folder of this test."""
    started: list[RunningStack] = []

    def start_stack(*options: str, **variables: str) -> RunningStack:
        started.append(RunningStack(folder, *options, RAG_EMBEDDER="none", **variables))
        return started[-1]

    yield start_stack
    for each in started:
        each.end()


@pytest.mark.timeout(300)
def test_a_killed_supervisor_leaves_nothing_and_up_and_down_work_afterwards(
    start: Callable[..., RunningStack],
) -> None:
    killed = start("--workers", "2").wait_until_healthy()
    tenant = httpx2.post(f"{killed.api}/tenants/create", params={"name": "Acme", "plan_id": "hobby"}).json()
    processes = killed.processes()
    assert len(processes) >= 7  # `up`, the API and its two workers, the worker and its child, the scheduler
    killed.kill()
    killed.wait_until_gone(processes, 18)  # less than the time after which each process would be killed

    again = start().wait_until_healthy()
    token = again.commands.run("token", tenant["tenant_id"]).succeeded().strip()
    limits = httpx2.get(f"{again.api}/limits/current", headers={"Authorization": f"Bearer {token}"})
    assert limits.json()["subscribed"]
    processes = again.processes()
    assert again.commands.run("down").succeeded() == "Stopped.\n"
    assert again.wait() == 0
    again.wait_until_gone(processes, 18)
    assert again.commands.run("down").succeeded() == "Nothing is running.\n"
    assert "Traceback" not in again.printed


@pytest.mark.timeout(300)
def test_up_waits_for_the_port_that_a_killed_stack_still_holds(start: Callable[..., RunningStack]) -> None:
    killed = start().wait_until_healthy()
    processes = killed.processes()
    (api,) = killed.processes_of("cli api")
    os.kill(api, signal.SIGSTOP)  # like an API that lets a long request end
    killed.kill()

    again = start(PORT=str(killed.port))
    wait_until(lambda: "in use by a stack that was killed" in again.printed, "it says that it waits", 30)
    os.kill(api, signal.SIGCONT)
    wait_until(lambda: not any(map(command_of, processes)), "the killed stack has ended", 30)
    again.wait_until_healthy()
    assert again.commands.run("down").succeeded() == "Stopped.\n"
    assert again.wait() == 0


@pytest.mark.parametrize(("mode", "kept_small"), [("ab", True), ("wb", False)])
def test_the_log_it_appends_to_is_its_own_to_keep_small(folder: Path, mode: str, *, kept_small: bool) -> None:
    """If the output is not opened to append, the next line after a truncation would follow a block of zeros."""
    commands = CommandLine(folder)
    log = commands.data_dir / "logs" / "up.log"
    log.parent.mkdir(parents=True)
    ask = (
        "from fastapi_ignite.cli.stack import appended_log; from fastapi_ignite.core.config import get_settings; "
        "print(appended_log(get_settings()))"
    )
    with log.open(mode) as output:
        subprocess.run(  # noqa: S603  runs the interpreter of the tests
            [sys.executable, "-c", ask], stdout=output, env=commands.environment | ENVIRONMENT, check=True
        )
    assert log.read_text().strip() == (str(log) if kept_small else "None")


class TestRefused:
    @pytest.fixture
    def commands(self, folder: Path) -> Iterator[CommandLine]:
        """Return a command line with a free port. Check after the test that no server was started."""
        made = CommandLine(folder, PORT=str(free_port()))
        yield made
        assert not (made.data_dir / "postgres").exists()

    def test_a_port_that_anything_listens_on(self, commands: CommandLine) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            refused = commands.run("up", "--port", str(port)).refused_with()
        assert refused.endswith("Choose another port with --port or PORT.")

    def test_a_default_secret_on_every_address(self, commands: CommandLine) -> None:
        refused = commands.run("up", HOST="0.0.0.0").refused_with()  # noqa: S104  the address is refused
        assert refused.startswith("JWT_SECRET is the development default, so HOST=0.0.0.0 is refused")

    def test_a_wrong_setting(self, commands: CommandLine) -> None:
        assert commands.run("up", BACKEND_CORS_ORIGINS="[").refused_with().startswith("BACKEND_CORS_ORIGINS: must be ")

    def test_a_database_that_does_not_answer(self, commands: CommandLine) -> None:
        outside = {"DATABASE_URL": "postgresql://o:p@127.0.0.1:1/acme", "REDIS_URL": "redis://127.0.0.1:1/0"}
        assert commands.run("up", **outside).refused_with().startswith("PostgreSQL at 127.0.0.1:1 cannot be reached")
