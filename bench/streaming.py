"""Measures what a streamed answer costs more than a plain one, and how much sooner its first words come.

    python -m bench.streaming [--answers 300] [--rounds 4]

One API process on the OpenAI engine, and the simulator in this process. Plain and streamed answers take turns; CPU is
that of the API process, in user and system mode. Then one caller and a model that says a word every 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median

import httpx2

from bench.harness import bench_servers
from bench.processes import ApiProcess, api_processes, cpu_seconds, make_plan, make_tenant, worker_process
from bench.rounds import compare
from fastapi_ignite.infra.services import ServiceAddresses
from support.http_clients import EventReader

from openai_simulator.server import running_simulator

CLIENTS = 16
FACTS = ("The north mill has three wheels.", "The north mill has three wheels and a weir.", "The weir is of oak.")
QUESTION = "How many wheels does the north mill have?"


class Caller:
    """A tenant with one project that knows the facts."""

    def __init__(self, api: ApiProcess, headers: dict[str, str]) -> None:
        self._http = httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=60)
        self._project = ""

    async def begin(self) -> None:
        made = await self._http.post("/ingestion/projects/create", params={"name": "bench"})
        self._project = made.raise_for_status().json()["id"]
        files = [("files", (f"{number}.txt", fact.encode())) for number, fact in enumerate(FACTS)]
        path = f"/ingestion/projects/{self._project}/upload_and_attach"
        uploaded = await self._http.post(path, params={"wait_seconds": 60}, files=files)
        assert uploaded.raise_for_status().json()["batch_status"] == "completed", uploaded.text

    async def ask(self, *, streamed: bool) -> tuple[float, float]:
        """Seconds until the first words were there, and until all were."""
        body = {"project_id": self._project, "question": QUESTION, "stream": streamed}
        began = time.perf_counter()
        first = 0.0
        async with self._http.stream("POST", "/query/ask", json=body) as answer:
            if not streamed:
                await answer.aread()
                answer.raise_for_status()
                return (time.perf_counter() - began,) * 2
            events = EventReader(answer)
            while (event := await events.next())[0] != "done":
                assert event[0] != "error", event
                if event[0] == "delta" and not first:
                    first = time.perf_counter() - began
        return first, time.perf_counter() - began


async def cost(caller: Caller, process_id: int, *, answers: int, streamed: bool) -> tuple[float, float]:
    """CPU milliseconds an answer, and answers a second."""
    left = iter(range(answers))

    async def client() -> None:
        for _ in left:
            await caller.ask(streamed=streamed)

    began, worked = time.perf_counter(), cpu_seconds(process_id)
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return (cpu_seconds(process_id) - worked) * 1000 / answers, answers / (time.perf_counter() - began)


async def play(addresses: ServiceAddresses, folder: Path, options: argparse.Namespace) -> None:
    async with running_simulator() as provider:
        variables = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": provider.base_url}
        plan = await make_plan(addresses, rpm=10**6)
        with worker_process(folder / "data", **variables):
            context = api_processes(folder / "data", 1, RATE_LIMIT_ANONYMOUS_RPM="1000000", **variables)
            (api,) = await asyncio.to_thread(context.__enter__)  # the provider answers from this loop
            try:
                _, headers = await asyncio.to_thread(make_tenant, api.url, plan)
                caller = Caller(api, headers)
                await caller.begin()
                await take_turns(caller, api.process.pid, options)
                provider.simulator.behaviour.delta_seconds = 0.05
                for streamed in (False, True):
                    taken = [await caller.ask(streamed=streamed) for _ in range(5)]
                    first, whole = (median(part) for part in zip(*taken, strict=True))
                    name = "streamed" if streamed else "plain"
                    print(f"a word every 50 ms, {name}: first words after {first:.2f} s, all after {whole:.2f} s")
            finally:
                await asyncio.to_thread(context.__exit__, None, None, None)


async def take_turns(caller: Caller, process_id: int, options: argparse.Namespace) -> None:
    await cost(caller, process_id, answers=100, streamed=False)  # warm
    rounds = [
        [await cost(caller, process_id, answers=options.answers, streamed=streamed) for streamed in (False, True)]
        for _ in range(options.rounds)
    ]
    for name, place in (("CPU milliseconds an answer", 0), ("answers a second", 1)):
        plain, streamed = ([each[which][place] for each in rounds] for which in (0, 1))
        print(f"{name}: plain {median(plain):.1f}, streamed {median(streamed):.1f}, ratio {compare(streamed, plain)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    with bench_servers() as (addresses, folder):
        asyncio.run(play(addresses, folder, options))


if __name__ == "__main__":
    main()
