"""The requests of the demo: a tenant's first minute over HTTP, like any other client."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.file_uploads import LocalFile, hash_file, upload_group, wait_for_batch
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.security import sign_token

QUESTION = "How many days of paid leave do full-time employees get each year?"
WAIT_SECONDS = 60
TOKEN_SECONDS = 30 * 86400


def run(console: Console, api: str, samples: Path, settings: Settings) -> dict[str, Any]:
    """Create a tenant and a project, upload the samples, ask a question, and print the answers.

    Return the tenant, its token, the project, and what came of the files and the question.
    """
    with ApiClient(api) as anyone:
        tenant = anyone.post("/tenants/create", name="Demo Co", plan_id="hobby")
    lifetime = min(TOKEN_SECONDS, settings.longest_token_lifetime or TOKEN_SECONDS)
    token = sign_token(UUID(tenant["tenant_id"]), settings, expires_at=int(time.time()) + lifetime)
    with ApiClient(api, token) as client:
        project = client.post("/ingestion/projects/create", name="Docs")
        files = _upload(console, client, project["id"], sorted(path for path in samples.iterdir() if path.is_file()))
        answer = _ask(console, client, project["id"])
        limits = client.get("/limits/current")
    usage, caps = limits["usage"], limits["limits"]
    console.print(
        f"\nUsage      {usage['messages_used']} of {caps['monthly_message_cap']:,} messages, "
        f"{usage['chars_uploaded']:,} of {caps['monthly_upload_char_cap']:,} characters ({limits['plan_name']} plan)"
    )
    console.print("\nTo continue, run:", markup=False)
    variables = {"API_V1": api, "TENANT_ID": tenant["tenant_id"], "PROJECT_ID": project["id"], "TOKEN": token}
    for name, value in variables.items():
        console.print(f"export {name}={value}", markup=False, soft_wrap=True)
    return {
        "api": api,
        "tenant_id": tenant["tenant_id"],
        "project_id": project["id"],
        "token": token,
        "files": files,
        "answer": answer,
        "limits": limits,
    }


def _upload(console: Console, client: ApiClient, project_id: str, paths: list[Path]) -> list[dict[str, Any]]:
    began = time.monotonic()
    with console.status(f"Ingesting {len(paths)} documents"):
        group = [hash_file(LocalFile(path, path.name, path.stat().st_size)) for path in paths]
        uploaded = upload_group(client, project_id, group)
        batch = wait_for_batch(client, project_id, uploaded.id, seconds=WAIT_SECONDS)
    counts = batch.counts
    console.print(f"Ingested {counts['processed']} of {counts['total']} documents in {time.monotonic() - began:.1f} s:")
    for file in batch.files:
        error = f" ({file['last_error']['code']})" if file["last_error"] else ""
        console.print(f"  {escape(file['filename'])}: {file['status']}, {file['characters'] or 0:,} characters{error}")
    return batch.files


def _ask(console: Console, client: ApiClient, project_id: str) -> dict[str, Any]:
    began = time.monotonic()
    answer = client.post("/query/ask", body={"project_id": project_id, "question": QUESTION})
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
    return answer
