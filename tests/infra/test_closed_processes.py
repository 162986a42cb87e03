"""Each process that knows secrets closes itself to others of its user before it opens its services, and DEBUG opens it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from command_line import ENVIRONMENT
from fastapi_ignite.core.config import PROJECT_ROOT

# Runs every entry point up to where it would start its work, and tells whether its memory was closed by then.
ENTRY_POINTS = """
import asyncio, contextlib, json, sys
from unittest import mock

from fastapi_ignite import main, worker
from fastapi_ignite.cli import processes, up
from fastapi_ignite.infra.embedded import guardian
from fastapi_ignite.infra.sandbox.kernel import PR_GET_DUMPABLE, PR_SET_DUMPABLE, prctl

class Reached(Exception):
    pass

async def serve():
    async with main.create_app().router.lifespan_context(None):
        pass

def run_guardian():
    sys.argv = ["guardian", "/nonexistent", "durable"]
    with mock.patch("os.fork", return_value=0):
        guardian.main()

closed = {}
for name, module, work, run in [
    ("api", processes, "require_free_port", lambda: processes.api(None, None)),
    ("a process of the api", main, "open_services", lambda: asyncio.run(serve())),
    ("worker", processes, "open_services", lambda: processes.worker(None)),
    ("a process of the worker", worker, "open_services", worker.build_broker),
    ("scheduler", processes, "open_services", lambda: processes.run_scheduler(list_jobs=False)),
    ("up", up, "stack_lock", lambda: up.up(None, 1)),
    ("guardian", guardian, "Guardian", run_guardian),
]:
    prctl(PR_SET_DUMPABLE, 1)
    with mock.patch.object(module, work, side_effect=Reached), contextlib.suppress(Reached):
        run()
    closed[name] = prctl(PR_GET_DUMPABLE) == 0
print(json.dumps(closed))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such attribute")
@pytest.mark.parametrize("debug", ["0", "1"])
def test_memory_is_closed_before_work_begins(debug: str) -> None:
    finished = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", ENTRY_POINTS],
        env=ENVIRONMENT | {"PYTHONPATH": str(PROJECT_ROOT / "src"), "DEBUG": debug},
        capture_output=True,
        text=True,
        check=True,
    )
    closed = json.loads(finished.stdout)
    assert closed.pop("guardian")
    assert len(closed) == 6
    assert set(closed.values()) == {debug == "0"}
