"""Tests of what each kind of process loads, and how much memory it keeps. Each test measures in a new process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT

WEB = {"fastapi", "starlette", "uvicorn", "jwt"}
MODELS = {"onnxruntime", "openai", "pypdfium2", "lxml"}
MIGRATIONS = {"alembic", "mako"}
RABBITMQ = {"pika"}
DATABASE = {"sqlalchemy", "asyncpg", "redis", "dramatiq", "structlog", "rich"}

# How each kind of process starts, and the packages that it must not load, because each of them costs 2 to 30 MB.
KINDS = {
    "from fastapi_ignite.cli import build_app; build_app('up')": WEB | MODELS | MIGRATIONS | RABBITMQ | DATABASE,
    "import fastapi_ignite.cli.processes, fastapi_ignite.scheduler": (
        WEB | MODELS | MIGRATIONS | RABBITMQ | {"numpy", "tokenizers", "httpx2"}
    ),
    "import fastapi_ignite.cli.processes, fastapi_ignite.worker": (
        WEB | MODELS | MIGRATIONS | RABBITMQ | {"apscheduler", "numpy"}
    ),
    "import fastapi_ignite.main": MODELS | MIGRATIONS | RABBITMQ | {"apscheduler", "numpy"},
    # the engine is built when a process starts, but the model is loaded for the first question or passage
    "import fastapi_ignite.rag.local.engine": MODELS,
}

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of this system has no settings")

MEGABYTES = """
import resource
def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
"""
# The kept blocks prevent the heap from shrinking at its end, as in a process that also does other work.
FREED = """
from fastapi_ignite.infra.heap import limit_heap
limit_heap()
large = b"x" * 20_000_000
del large
before = megabytes()
blocks, kept = [], []
for _ in range(60):
    blocks.append(b"x" * 3_000_000)
    kept.append(b"x" * 100_000)
del blocks
print(megabytes() - before)
"""
# Twelve callers embed at the same time, texts of all lengths up to the longest.
EMBEDDED = """
import asyncio, threading
from fastapi_ignite.rag.local.minilm import load_minilm
model = load_minilm()
texts = ["pump " * length for length in (4, 30, 120, 250, 250, 250, 250, 250)]
async def embed():
    vectors = await asyncio.gather(*(model.embed_passages(texts) for _ in range(12)))
    assert len({vector.tobytes() for found in vectors for vector in found}) == 4
asyncio.run(embed())
threads = sum(thread.name.startswith("minilm") for thread in threading.enumerate())
assert 0 < threads <= model.runs_at_a_time <= 4, threads
assert model.arithmetic == "floats" or megabytes() < 200, megabytes()  # it is about 120
print(megabytes())
"""


def output_of(program: str) -> str:
    environment = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(("imports", "unwanted"), KINDS.items())
def test_a_process_loads_nothing_that_it_does_not_use(imports: str, unwanted: set[str]) -> None:
    loaded = output_of(f"import sys; {imports}; print(*{{name.partition('.')[0] for name in sys.modules}})").split()
    assert unwanted & set(loaded) == set()


@glibc
def test_what_is_freed_in_the_middle_of_the_heap_goes_back_to_the_system() -> None:
    assert float(output_of(MEGABYTES + FREED)) < 60  # without the limits of the heap it is 180


@glibc
def test_many_callers_of_the_model_hold_no_more_memory_than_its_few_runs() -> None:
    assert float(output_of(MEGABYTES + EMBEDDED)) < 350  # in floats about 240, and 700 without a bound on parallel runs


def test_what_a_process_has_at_its_start_is_not_examined_for_garbage_again() -> None:
    started = """
import gc
from fastapi_ignite.infra.garbage_collection import freeze_started_process
import fastapi_ignite.main
before = len(gc.get_objects())
freeze_started_process()
print(len(gc.get_objects()) / before)
"""
    assert float(output_of(started)) < 0.01
