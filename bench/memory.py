"""Measures what each process of a stack holds in memory, at rest and under a mixed load.

    python -m bench.memory [--seconds 120] [--every 20] [--workers 1] [--rest 15]

Starts `cli.py up` on a folder and a port of its own. Callers upload files of many types and sizes, ask, search, read
streamed answers, lists, limits and cached items for that many seconds. A file is deleted when forty newer ones are
there, so that the work stays the same. The figures are megabytes of `Rss` and `Pss` (a page that three processes share
counts a third for each), threads, open files, and connections of TCP, from `/proc`. The table at the end shows what
grows in ten periods: memory, open files, the connections that PostgreSQL and Valkey have, and the time of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg
import httpx2
from redis.asyncio import Redis

from bench.growth import Timeline, p95
from fastapi_ignite.core.config import load_settings
from support.command_line import open_folder
from support.http_clients import EventReader, TenantClient, tenant_factory
from support.running_stack import RunningStack
from support.sample_files import make_docx, make_pdf, make_xlsx

from embedded_services import EmbeddedEndpoints

PLAN = "--max-projects 50 --message-cap 1000000 --upload-char-cap 1000000000 --rate-limit-rpm 1000000"
QUESTIONERS, SEARCHERS, LISTENERS, UPLOADERS, READERS = 4, 2, 2, 2, 2
UPLOAD_PAUSE = 2.0
KEPT_FILES = 40
PERIODS = 10
LARGE_BYTES = 20_000_000
SUBJECTS = ("pump", "valve", "turbine", "conveyor", "encoder", "gearbox", "furnace", "chiller", "boiler", "mixer")
PROPERTIES = ("pressure", "weight", "warranty", "torque", "speed", "voltage", "noise", "length", "colour", "lifetime")
FILLER = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "operator",
    "maintenance",
    "before",
    "month",
    "water",
    "cable",
    "sensor",
    "test",
)
# words of a sentence: the model's time and memory go with its length
SENTENCES = (4, 8, 15, 30, 80)


@dataclass(frozen=True, slots=True)
class Held:
    """Holds the memory of one process in kilobytes, and its counts."""

    rss: int
    pss: int
    threads: int
    files: int
    connections: int


def processes(stack: RunningStack) -> dict[str, list[int]]:
    """By kind: what `cli.py` was told, or `parser`; a process that such a one has forked is `<kind>/child`."""
    kinds: dict[int, str] = {}
    for pid in stack.processes():
        words = _read(pid, "cmdline").split("\0")
        parent = kinds.get(_parent(pid), "")
        kinds[pid] = _kind(words, parent)
    found: dict[str, list[int]] = defaultdict(list)
    for pid, kind in kinds.items():
        found[kind].append(pid)
    return found


def _kind(words: Sequence[str], parent: str) -> str:
    if "extraction" in " ".join(words):
        return "parser"
    for place, word in enumerate(words[:-1]):
        if word == "fastapi_ignite.cli" or word.endswith("cli.py"):
            return parent + "/child" if parent == words[place + 1] else words[place + 1]
    if any("resource_tracker" in word for word in words):
        return "resource tracker"
    return f"{parent.removesuffix('/child')}/child"


def _parent(pid: int) -> int:
    found = re.search(r"^PPid:\s+(\d+)", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def look_at(pid: int) -> Held | None:
    """Nothing of a process that has ended."""
    numbers = dict(re.findall(r"^(Rss|Pss):\s+(\d+)", _read(pid, "smaps_rollup"), re.MULTILINE))
    threads = re.search(r"^Threads:\s+(\d+)", _read(pid, "status"), re.MULTILINE)
    try:
        opened = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return None
    if not numbers or not threads:
        return None
    sockets = {name[8:-1] for name in opened if name.startswith("socket:[")}
    lines = (_read(pid, "net/tcp") + _read(pid, "net/tcp6")).splitlines()
    connections = sum(len(fields := line.split()) > 9 and fields[9] in sockets and fields[3] == "01" for line in lines)
    return Held(int(numbers["Rss"]), int(numbers["Pss"]), int(threads[1]), len(opened), connections)


class Samples:
    """Prints what each kind of process holds, and remembers it."""

    def __init__(self, stack: RunningStack, timeline: Timeline) -> None:
        self._stack = stack
        self._timeline = timeline
        self._began = self._loaded = time.monotonic()
        self.rss: dict[str, list[float]] = defaultdict(list)
        print(f"{'':>6} {'moment':<20} {'process':<18} {'RSS':>6} {'PSS':>6} {'threads':>7} {'files':>6} {'TCP':>4}")

    def begin_load(self) -> None:
        self._loaded = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since the load began."""
        return time.monotonic() - self._loaded

    async def follow(self, every: float) -> None:
        """Add what all processes hold, and the connections that the servers have, to the timeline until cancelled."""
        while True:
            at = self.seconds
            for name, value in (await asyncio.to_thread(self._held)).items():
                self._timeline.add(name, at, value)
            for name, value in (await _server_connections(self._stack)).items():
                self._timeline.add(name, at, value)
            await asyncio.sleep(every)

    def _held(self) -> dict[str, float]:
        found: Counter[str] = Counter()
        for kind, pids in processes(self._stack).items():
            if kind in {"parser", "resource tracker"}:
                continue
            for held in filter(None, map(look_at, pids)):
                found[f"{kind}, MB"] += round(held.rss / 1024)
                found[f"{kind}, open files"] += held.files
        return dict(found)

    def take(self, moment: str) -> None:
        for kind, pids in sorted(processes(self._stack).items()):
            for held in filter(None, map(look_at, pids)):
                if kind not in {"parser", "resource tracker"}:
                    self.rss[kind].append(held.rss / 1024)
                print(
                    f"{time.monotonic() - self._began:5.0f}s {moment:<20} {kind:<18} {held.rss / 1024:6.0f} "
                    f"{held.pss / 1024:6.0f} {held.threads:7} {held.files:6} {held.connections:4}",
                    flush=True,
                )


async def _server_connections(stack: RunningStack) -> dict[str, float]:
    """Return the connections that each server has, without those of this function."""
    at = EmbeddedEndpoints.read(stack.commands.data_dir / "run" / "services.json")
    assert at is not None
    postgres = await asyncpg.connect(
        host=at.postgres_host,
        port=at.postgres_port,
        user=at.postgres_user,
        password=at.postgres_password,
        database=at.postgres_database,
    )
    redis = Redis(host=at.redis_host, port=at.redis_port, password=at.redis_password)
    try:
        backends = await postgres.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        clients = (await redis.info("clients"))["connected_clients"] - 1
    finally:
        await postgres.close()
        await redis.aclose()
    return {"PostgreSQL, connections": backends, "Valkey, connections": clients}


class Load:
    """Callers who never stop, and how long each of their requests took."""

    def __init__(
        self, client: TenantClient, random_source: random.Random, samples: Samples, timeline: Timeline
    ) -> None:
        self._client = client
        self._random = random_source
        self._samples = samples
        self._timeline = timeline
        self._uploaded: deque[str] = deque()
        self._numbers = itertools.count()
        self._project = ""
        self._item = 0
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failures: Counter[str] = Counter()

    async def begin(self) -> None:
        """A project with something in it, so that questions have answers."""
        self._project = await self._client.create_project("Memory")
        answer = await self._client.upload(self._project, ("first.txt", self._text(30_000).encode()))
        answer.raise_for_status()
        item = await self._client.post("/items/", json={"name": "Pump", "price": 9.5})
        self._item = item.raise_for_status().json()["id"]

    async def search(self) -> httpx2.Response:
        return await self._client.search(self._project, self._question())

    async def run(self, seconds: float) -> None:
        callers = {
            self._ask: QUESTIONERS,
            self._look_up: SEARCHERS,
            self._listen: LISTENERS,
            self._upload: UPLOADERS,
            self._browse: READERS,
        }
        deadline = time.monotonic() + seconds
        await asyncio.gather(
            *(self._repeat(work, deadline) for work, count in callers.items() for _ in range(count)),
        )

    async def _repeat(self, work: Callable[[], Awaitable[None]], deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                await work()
            except (httpx2.HTTPError, AssertionError) as error:
                self.failures[f"{work.__name__[1:]}: {error!r:.100}"] += 1
                await asyncio.sleep(0.2)

    async def _timed(self, name: str, request: Awaitable[httpx2.Response]) -> httpx2.Response:
        began = time.perf_counter()
        answer = await request
        answer.raise_for_status()
        self._took(name, time.perf_counter() - began)
        return answer

    def _took(self, name: str, seconds: float) -> None:
        self.seconds[name].append(seconds)
        for fold in ("p50", "p95"):
            self._timeline.add(f"{fold} of {name}, ms", self._samples.seconds, seconds * 1000)

    async def _ask(self) -> None:
        await self._timed("ask", self._client.ask(self._project, self._question()))

    async def _look_up(self) -> None:
        await self._timed("search", self.search())

    async def _listen(self) -> None:
        began = time.perf_counter()
        async with self._client.stream(self._project, self._question()) as events:
            if not events.answer.is_success:
                await events.answer.aread()
            events.answer.raise_for_status()
            await EventReader.until(events, "done")
        self._took("streamed", time.perf_counter() - began)

    async def _upload(self) -> None:
        name, content = self._file(next(self._numbers))
        answer = await self._timed("upload", self._client.upload(self._project, (name, content), wait_seconds=0))
        self._uploaded += [file["id"] for file in answer.json()["files"]]
        if len(self._uploaded) > KEPT_FILES:
            file = {"openai_file_id": self._uploaded.popleft(), "delete_raw": "true"}
            removal = self._client.delete(f"/ingestion/projects/{self._project}/remove_file", params=file)
            await self._timed("delete", removal)
        await asyncio.sleep(UPLOAD_PAUSE)

    async def _browse(self) -> None:
        paths = [f"/items/cached/{self._item}", f"/items/{self._item}", "/items/", "/limits/current", "/health"]
        for path in [*paths, f"/ingestion/projects/{self._project}/files"]:
            await self._timed("read", self._client.get(path))
        await asyncio.sleep(0.1)

    def _file(self, number: int) -> tuple[str, bytes]:
        """Every tenth is of twenty megabytes that hold little text."""
        size = self._random.choice((300, 2_000, 10_000, 40_000, 150_000))
        paragraphs = self._text(size).split("\n\n")
        if number % 10 == 5:
            page = "<p>" + "</p><p>".join(paragraphs) + "</p>"
            return f"{number}.html", f"<html><!--{' ' * LARGE_BYTES}--><body>{page}</body></html>".encode()
        match number % 5:
            case 0:
                return f"{number}.pdf", make_pdf([paragraph.replace(". ", ".\n") for paragraph in paragraphs])
            case 1:
                return f"{number}.docx", make_docx(paragraphs)
            case 2:
                return f"{number}.xlsx", make_xlsx([[place, text] for place, text in enumerate(paragraphs)])
            case 3:
                return f"{number}.md", "\n\n".join(f"# {number}\n{paragraph}" for paragraph in paragraphs).encode()
            case _:
                return f"{number}.txt", "\n\n".join(paragraphs).encode()

    def _text(self, size: int) -> str:
        return "".join(itertools.islice(self._sentences(), max(size // 200, 1)))

    def _sentences(self) -> Iterator[str]:
        for number in itertools.count(1):
            subject, noun = self._random.choice(SUBJECTS), self._random.choice(PROPERTIES)
            filler = " ".join(self._random.choices(FILLER, k=self._random.choice(SENTENCES)))
            end = "\n\n" if number % 5 == 0 else " "
            yield f"The {noun} of {subject} {self._random.randint(1, 999)} is {number} {filler}.{end}"

    def _question(self) -> str:
        subject, noun = self._random.choice(SUBJECTS), self._random.choice(PROPERTIES)
        filler = " ".join(self._random.choices(FILLER, k=self._random.choice((0, 0, 10, 100))))
        return f"What is the {noun} of {subject} {self._random.randint(1, 999)} {filler}?"


async def play(stack: RunningStack, options: argparse.Namespace) -> None:
    timeline = Timeline(options.seconds, PERIODS)
    samples = Samples(stack, timeline)
    samples.take("started")
    async with httpx2.AsyncClient(base_url=stack.api, timeout=120) as http:
        # the settings of the stack: the variables of `CommandLine`, and no `.env`
        client = await tenant_factory(http, load_settings(env_file=None))(plan_id="memory")
        load = Load(client, random.Random(options.seed), samples, timeline)
        await load.begin()
        await asyncio.sleep(2)
        samples.take("before first search")
        (await load.search()).raise_for_status()
        samples.take("after first search")
        samples.begin_load()
        running = asyncio.create_task(load.run(options.seconds))
        following = asyncio.create_task(samples.follow(options.seconds / PERIODS / 4))
        for _ in range(options.seconds // options.every):
            await asyncio.sleep(options.every)
            await asyncio.to_thread(samples.take, "under load")
        await running
        following.cancel()
        await asyncio.sleep(options.rest)
        samples.take(f"{options.rest} s after the load")
    _report(samples, load)
    print()
    print(*timeline.table({"p95": p95}), sep="\n")
    if load.failures:
        raise SystemExit("requests failed, so the load was another one than the figures are meant for")


def _report(samples: Samples, load: Load) -> None:
    for kind, values in sorted(samples.rss.items()):
        print(f"{kind:<18} largest {max(values):5.0f} MB, last {values[-1]:5.0f} MB")
    for name, seconds in sorted(load.seconds.items()):
        print(
            f"{name:<10} {len(seconds):6} requests, p50 {median(seconds) * 1000:6.0f} ms, "
            f"p95 {sorted(seconds)[int(len(seconds) * 0.95)] * 1000:6.0f} ms"
        )
    for failure, count in load.failures.most_common():
        print(f"{count} x {failure}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--rest", type=int, default=15)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with open_folder() as folder:
        stack = RunningStack(folder, "--workers", str(options.workers), RATE_LIMIT_ANONYMOUS_RPM="1000000")
        try:
            stack.wait_until_healthy()
            stack.commands.run("plans", "set", "memory", *PLAN.split()).succeeded()
            asyncio.run(play(stack, options))
        except BaseException:
            print(stack.printed[-4000:])
            raise
        finally:
            stack.end()


if __name__ == "__main__":
    main()
