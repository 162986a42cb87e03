"""The requests of the demo: a tenant's first minute over HTTP, like any other client."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from rich.console import Console
from rich.markup import escape

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.core.security import sign_token

QUESTION = "How many days of paid leave do full-time employees get each year?"
WAIT_SECONDS = 60
TOKEN_SECONDS = 30 * 86400


def run(console: Console, api: str, samples: Path, settings: Settings) -> None:
    """Create a tenant and a project, upload the samples, ask a question, and print the answers."""
    with httpx2.Client(base_url=api, timeout=WAIT_SECONDS + 10) as client:
        tenant = _ok(client.post("/tenants/create", params={"name": "Demo Co", "plan_id": "hobby"}))
        lifetime = min(TOKEN_SECONDS, settings.longest_token_lifetime or TOKEN_SECONDS)
        token = sign_token(UUID(tenant["tenant_id"]), settings, expires_at=int(time.time()) + lifetime)
        client.headers["Authorization"] = f"Bearer {token}"
        project = _ok(client.post("/ingestion/projects/create", params={"name": "Docs"}))
        _upload(console, client, project["id"], sorted(path for path in samples.iterdir() if path.is_file()))
        _ask(console, client, project["id"])
        limits = _ok(client.get("/limits/current"))
    usage, caps = limits["usage"], limits["limits"]
    console.print(
        f"\nUsage      {usage['messages_used']} of {caps['monthly_message_cap']:,} messages, "
        f"{usage['chars_uploaded']:,} of {caps['monthly_upload_char_cap']:,} characters ({limits['plan_name']} plan)"
    )
    console.print("\nTo continue, run:", markup=False)
    console.print(f"export API_V1={api}", markup=False, soft_wrap=True)
    console.print(f"export TENANT_ID={tenant['tenant_id']}", markup=False, soft_wrap=True)
    console.print(f"export PROJECT_ID={project['id']}", markup=False, soft_wrap=True)
    console.print(f"export TOKEN={token}", markup=False, soft_wrap=True)


def _upload(console: Console, client: httpx2.Client, project_id: str, paths: list[Path]) -> None:
    began = time.monotonic()
    with console.status(f"Ingesting {len(paths)} documents"):
        batch = _ok(
            client.post(
                f"/ingestion/projects/{project_id}/upload_and_attach",
                params={"wait_seconds": WAIT_SECONDS},
                files=[("files", (path.name, path.read_bytes())) for path in paths],
            )
        )
    counts = batch["file_counts"]
    console.print(f"Ingested {counts['processed']} of {counts['total']} documents in {time.monotonic() - began:.1f} s:")
    for file in batch["files"]:
        error = f" ({file['last_error']['code']})" if file["last_error"] else ""
        console.print(f"  {escape(file['filename'])}: {file['status']}, {file['characters'] or 0:,} characters{error}")


def _ask(console: Console, client: httpx2.Client, project_id: str) -> None:
    began = time.monotonic()
    answer = _ok(client.post("/query/ask", json={"project_id": project_id, "question": QUESTION}))
    console.print(f"\nQuestion   {QUESTION}")
    console.print(f"Answer     {escape(answer['answer'])}")
    for citation in answer["citations"]:
        page = f", page {citation['page']}" if citation["page"] else ""
        console.print(
            f'Cited      "{escape(citation["quote"])}"\n'
            f"           {escape(citation['filename'])}{page}, characters {citation['char_start']} to "
            f"{citation['char_end']}, {'verified' if citation['verified'] else 'not verified'}"
        )
    console.print(f"           answered in {(time.monotonic() - began) * 1000:.0f} ms by the {answer['engine']} engine")


def _ok(response: httpx2.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.is_success:
        return body
    raise UnavailableError(f"{response.request.method} {response.request.url.path}: {body.get('detail', body)}")
