"""Code of an attacker in a parser must reach nothing, whether the stack runs as root or as an ordinary user.

Each guard is also tested alone, against an attacker who reaches everything without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastapi_ignite.infra.sandbox import landlock
from fastapi_ignite.infra.services import Services
from fastapi_ignite.infra.unprivileged_users import FIRST_PARSER_ID
from fastapi_ignite.rag.extraction import ExtractionLimits
from fastapi_ignite.rag.extraction.parser_processes import ForkServerClient, forked_parser
from fastapi_ignite.rag.extraction.process import probe_guards, result_of
from support.executed_parsers import run_parser

from embedded_services import EmbeddedEndpoints, status

IS_ROOT = os.geteuid() == 0
HOSTILE_PARSER = Path(__file__).with_name("hostile_parser.py")
NOBODY = 65534
# A process with a secret in its environment, like the worker. Unlike a process that has changed its user, both
# can be inspected by other processes of their user unless they prevent it.
VICTIM = """
import os, sys
from fastapi_ignite.infra.sandbox.kernel import PR_SET_DUMPABLE, prctl, prevent_dumps
if sys.argv[1] != "None":
    os.setgroups([]), os.setgid(int(sys.argv[1])), os.setuid(int(sys.argv[1]))
prctl(PR_SET_DUMPABLE, 1)
if sys.argv[2] == "undumpable":
    prevent_dumps()
print("ready", flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guards of the Linux kernel")

TCP_SINCE_ABI, SCOPES_SINCE_ABI = 4, 6


class Surroundings:
    """Holds what a parser of this user could reach; `user` None means the user that runs the tests."""

    def __init__(self, stack: ExitStack, services: Services, user: int | None) -> None:
        self.user = user
        self.folder = Path(tempfile.mkdtemp(prefix="ignite-targets-"))
        stack.callback(shutil.rmtree, self.folder)
        self._stack = stack
        stack.callback(self._remove_written_files)
        self.victim = self.start_victim("dumpable")
        data_dir = Path(os.environ["IGNITE_TEST_DATA_DIR"]) / "data"
        running = status(data_dir)
        endpoints = EmbeddedEndpoints.read(data_dir / "run" / "services.json")
        assert services.lease
        assert endpoints
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.folder / "socket"))
        listener.listen()
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{self.folder.name}")
        abstract.listen()
        if user is None:
            files = {
                "credentials": data_dir / "run" / "services.json",
                "Valkey's configuration": data_dir / "valkey" / "valkey.conf",
                "the database": data_dir / "postgres" / "global" / "pg_control",
                "an upload": self._private_file("object"),
            }
            processes = {"postmaster": running.postgres_pid, "Valkey": running.redis_pid, "worker": os.getpid()}
        else:
            # If the whole stack runs as one ordinary user, all of this belongs to that user.
            names = ("credentials", "Valkey's configuration", "the database", "an upload")
            files = {name: self._private_file(name) for name in names}
            processes = {"postmaster": self.victim, "Valkey": self.victim, "worker": self.victim}
        own_file = self._private_file("own")
        if user is not None:
            for path in (self.folder, self.folder / "socket"):
                os.chown(path, user, user)
        self.targets: dict[str, Any] = {
            "files": {name: str(path) for name, path in files.items()},
            "processes": processes,
            "ports": {"PostgreSQL": endpoints.postgres_port, "Valkey": endpoints.redis_port},
            "victim": self.victim,
            "own_file": str(own_file),
            "socket": str(self.folder / "socket"),
            "abstract": self.folder.name,
        }

    def start_victim(self, kind: str) -> int:
        """Start another process of this user: the worker, or a parser with a file of another tenant."""
        process = self._stack.enter_context(
            subprocess.Popen(  # noqa: S603  # our own interpreter
                [sys.executable, "-c", VICTIM, str(self.user), kind],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "JWT_SECRET": "a secret"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    @staticmethod
    def _remove_written_files() -> None:
        """Remove what parsers could write, because some guards let them create a file but not remove it."""
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108  # the folders that the parser tries
            for path in Path(folder).glob("written-by-attacker-*"):
                path.unlink()

    def _private_file(self, name: str) -> Path:
        path = self.folder / name
        path.write_text("secret")
        path.chmod(0o600)
        if self.user is not None:
            os.chown(path, self.user, self.user)
        return path

    async def attack(
        self, *, place: str = "extract_text", lacks: Iterable[str] = (), forked: bool = False, **targets: Any
    ) -> set[str]:
        """Attack from a function of the child on a machine that lacks these guards, and return what was reached."""
        plan = {"user": self.user, "place": place, "lacks": [*lacks], "targets": self.targets | targets}
        upload = self.folder / "upload"
        upload.write_bytes(b"a text")
        command = (sys.executable, "-P", "-B", str(HOSTILE_PARSER), json.dumps(plan | {"forked": forked}))
        if not forked:
            return set(json.loads((await run_parser(command, upload, ExtractionLimits())).text))
        server = ForkServerClient(command)
        try:
            with upload.open("rb") as file:
                parser = forked_parser(("plain", "{}"), file, server=server)
                return set(json.loads((await result_of(parser, ExtractionLimits())).text))
        finally:
            server.kill()


@pytest.fixture(scope="module")
def ordinary(services: Services) -> Generator[Surroundings]:
    with ExitStack() as stack:
        yield Surroundings(stack, services, NOBODY if IS_ROOT else None)


@pytest.fixture(scope="module")
def root(services: Services) -> Generator[Surroundings]:
    if not IS_ROOT:
        pytest.skip("only root can run this")
    with ExitStack() as stack:
        yield Surroundings(stack, services, None)


@pytest.fixture(scope="module")
async def unguarded(ordinary: Surroundings) -> set[str]:
    """Return what an ordinary user's parser reaches without guards, which proves that every attempt can succeed."""
    reached = await ordinary.attack(lacks=ALL_GUARDS)
    assert reached >= EVERYTHING
    return reached


ALL_GUARDS = {"own user", "landlock", "seccomp", "limits"}
# On some distributions, only root may attach to a process that is not its child.
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
DEBUGGING = {"open memory", "attach debugger"} if not YAMA.exists() or YAMA.read_text().strip() == "0" else set()
FILES = {
    *("read credentials", "read Valkey's configuration", "read the database", "read an upload", "read environment"),
    *("write to /tmp", "write to /dev/shm", "list a folder"),
}
SIGNALS = {"signal postmaster", "signal Valkey", "signal worker"}
TCP = {"connect to PostgreSQL", "connect to Valkey"}
SOCKETS = TCP | {"connect to unix socket", "connect to abstract socket", "send datagram"}
EVERYTHING = {
    *(*FILES, *SIGNALS, *SOCKETS, *DEBUGGING, "see a file", "change a file's mode", "make a folder", "fork"),
    *("share memory", "make a file in memory", "allow dumps again", "change a limit", "run a program"),
}


class TestNothingIsReached:
    @pytest.mark.parametrize("forked", [True, False])
    async def test_as_root(self, root: Surroundings, *, forked: bool) -> None:
        assert await root.attack(forked=forked) == set()

    @pytest.mark.parametrize("forked", [True, False])
    async def test_as_an_ordinary_user(self, ordinary: Surroundings, unguarded: set[str], *, forked: bool) -> None:
        assert unguarded
        assert await ordinary.attack(forked=forked) == set()

    async def test_without_landlock(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        assert unguarded
        assert await ordinary.attack(lacks={"landlock", "limits"}) == set()


class TestBeforeParsing:
    """A child that has read its file and still loads code can reach more: the installation, and itself."""

    async def test_little_is_reached(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        assert unguarded
        itself = {"allow dumps again", "change a limit"}
        assert await ordinary.attack(place="_load_models") <= {"see a file", "change a file's mode", *itself}

    async def test_without_landlock(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        refused = unguarded - await ordinary.attack(place="_load_models", lacks={"landlock"})
        others = {"fork", "run a program", "share memory", "make a file in memory"}
        assert refused >= SIGNALS | SOCKETS | others | DEBUGGING - {"open memory"}


class TestEachGuardAlone:
    """These tests check what each guard refuses on a machine that has no other guard."""

    async def test_landlock(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        refused = unguarded - await ordinary.attack(lacks=ALL_GUARDS - {"landlock"})
        wanted = FILES | DEBUGGING | {"make a folder", "run a program"}
        version = landlock.abi_version()
        assert version
        wanted |= TCP if version >= TCP_SINCE_ABI else set()
        wanted |= SIGNALS | {"connect to abstract socket"} if version >= SCOPES_SINCE_ABI else set()
        assert refused >= wanted

    async def test_landlock_also_closes_the_installation(self, root: Surroundings) -> None:
        files = {"the installation": os.__file__}
        assert "read the installation" in await root.attack(lacks=ALL_GUARDS, files=files)
        assert "read the installation" not in await root.attack(lacks=ALL_GUARDS - {"landlock"}, files=files)

    async def test_limits(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        refused = unguarded - await ordinary.attack(lacks=ALL_GUARDS - {"limits"})
        assert refused >= FILES | SOCKETS | {"make a file in memory"}

    async def test_a_user_of_its_own(self, root: Surroundings) -> None:
        refused = await root.attack(lacks=ALL_GUARDS) - await root.attack(lacks=ALL_GUARDS - {"own user"})
        files = {"read credentials", "read Valkey's configuration", "read the database", "read an upload"}
        assert refused >= files | SIGNALS | DEBUGGING | {"read environment", "change a file's mode"}

    async def test_an_undumpable_worker(self, ordinary: Surroundings, unguarded: set[str]) -> None:
        reached = await ordinary.attack(lacks=ALL_GUARDS, victim=ordinary.start_victim("undumpable"))
        assert unguarded - reached == {"read environment", *DEBUGGING}


class TestGuardsOfTheProgram:
    async def test_all_hold_on_this_machine(self) -> None:
        guards, others = await asyncio.gather(probe_guards(), probe_guards())
        assert (guards.landlock, guards.seccomp, guards.undumpable) == (landlock.abi_version(), True, True)
        assert landlock.abi_version()
        if IS_ROOT:
            assert guards.own_user
            assert guards.own_user > FIRST_PARSER_ID
            assert guards.own_user != others.own_user
