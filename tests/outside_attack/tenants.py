"""Tenants that keep working through every outage, and record what the API has promised them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token

PAUSE_SECONDS = 0.3
# an operation that fails this often in a row, over minutes, counts as lost
MOST_TRIES = 1200
WORDS = ("arm", "belt", "cable", "drive", "encoder", "frame", "gate", "hall", "index", "joint", "key", "lock", "motor")


@dataclass
class Answers:
    """The counted answers of the API to all tenants; the bodies of answers with status 500 are kept as defects."""

    statuses: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)

    def count(self, answer: httpx2.Response) -> None:
        code = "" if answer.is_success else f" {_code(answer)}"
        self.statuses[f"{answer.status_code}{code}"] += 1
        if answer.status_code == httpx2.codes.INTERNAL_SERVER_ERROR:
            self.defects.append(f"{answer.request.method} {answer.request.url.path}: {answer.text[:300]}")
        elif answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE and "Retry-After" not in answer.headers:
            self.defects.append(f"503 without Retry-After: {answer.request.url.path}: {answer.text[:300]}")


def _code(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, KeyError):
        return "no problem+json"


class PersistentTenant:
    """A tenant that repeats every operation with the same Idempotency-Key until the API acknowledges it."""

    def __init__(self, api: str, answers: Answers, seed: int) -> None:
        self._api = api
        self._answers = answers
        self._random = random.Random(seed)
        self._http = httpx2.AsyncClient(timeout=40)
        self._numbers = itertools.count()
        self.id = UUID(int=0)
        self.project = ""
        self.uploaded: dict[str, int] = {}  # the characters of each file by its name
        self.removed: set[str] = set()
        self.asked = 0

    async def begin(self) -> None:
        made = await self._certainly("POST", "/tenants/create", params={"name": "Chaos", "plan_id": "chaos"})
        self.id = UUID(made["tenant_id"])
        token = sign_token(self.id, load_settings(env_file=None))
        self._http.headers["Authorization"] = f"Bearer {token}"
        made = await self._certainly("POST", "/ingestion/projects/create", params={"name": "Chaos"}, key=True)
        self.project = made["id"]

    async def work(self, stopping: asyncio.Event) -> None:
        """Upload, ask, read and remove in a random order until `stopping` is set."""
        steps = (self.upload, self.upload, self.ask, self.ask, self.read, self.read, self.remove)
        while not stopping.is_set():
            await self._random.choice(steps)()

    async def upload(self) -> None:
        """Upload one to four new files, without waiting until they are searchable."""
        files: list[tuple[str, tuple[str, bytes]]] = []
        for _ in range(self._random.randint(1, 4)):
            name, content = f"{next(self._numbers)}.txt", self._document()
            files.append(("files", (name, content)))
        path = f"/ingestion/projects/{self.project}/upload_and_attach"
        await self._certainly("POST", path, params={"wait_seconds": 0}, files=files, key=True)
        self.uploaded |= {name: len(content) for _, (name, content) in files}

    def _document(self) -> bytes:
        lines = [" ".join(self._random.choices(WORDS, k=12)).capitalize() + "." for _ in range(20)]
        return f"{uuid4().hex}\n\n{chr(10).join(lines)}\n".encode()

    async def ask(self) -> None:
        """Ask a question, which counts as one message whether it is answered or not."""
        body = {"project_id": self.project, "question": "Which motor drives the belt of the gate?"}
        await self._certainly("POST", "/query/ask", json=body, key=True)
        self.asked += 1

    async def read(self) -> None:
        """Read limits, files and search results, which costs no quota."""
        await self._certainly("GET", "/limits/current")
        await self._certainly("GET", f"/ingestion/projects/{self.project}/files", params={"limit": 20})
        body = {"project_id": self.project, "query": "motor of the gate"}
        await self._certainly("POST", "/query/search", json=body)

    async def remove(self) -> None:
        """Remove one completed file with its bytes; its characters stay charged."""
        completed = {file["filename"]: file["id"] for file in await self.files() if file["status"] == "completed"}
        left = sorted(completed.keys() & self.uploaded.keys())
        if not left:
            return
        name = self._random.choice(left)
        params = {"openai_file_id": completed[name], "delete_raw": "true"}
        path = f"/ingestion/projects/{self.project}/remove_file"
        await self._certainly("DELETE", path, params=params, gone="file_not_found")
        self.removed.add(name)

    async def files(self) -> list[dict[str, Any]]:
        """Return all files of the project."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = await self._certainly("GET", f"/ingestion/projects/{self.project}/files", params=after)
            found += page["files"]
            if not page["next_after"]:
                return found
            after = {"after": page["next_after"]}

    async def limits(self) -> dict[str, Any]:
        """Return the usage and the limits as the API tells them."""
        return await self._certainly("GET", "/limits/current")

    async def _certainly(
        self, method: str, path: str, *, key: bool = False, gone: str = "", **options: Any
    ) -> dict[str, Any]:
        """Repeat a request until the API acknowledges it.

        A success, the replay of an earlier success, and the answer that it was done before are acknowledgements.
        """
        headers = {"Idempotency-Key": uuid4().hex, "Prefer": "idempotency=replay"} if key else {}
        last = ""
        for _ in range(MOST_TRIES):
            try:
                answer = await self._http.request(method, self._api + path, headers=headers, **options)
            except httpx2.HTTPError as error:
                last = type(error).__name__
            else:
                self._answers.count(answer)
                last = answer.text[:300]
                if answer.is_success:
                    body: dict[str, Any] = answer.json()
                    return body
                if _code(answer) in {"idempotency_duplicate", gone}:
                    done: dict[str, Any] = answer.json()
                    return done
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"never acknowledged: {method} {path}: {last}")

    async def close(self) -> None:
        await self._http.aclose()
