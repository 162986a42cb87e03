"""Tests that generate clients from the OpenAPI document, and run the code of docs/frontend.md with them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from fastapi_ignite.core.config import PROJECT_ROOT, Settings
from fastapi_ignite.http.state import AppState
from support.client_tools import (
    GENERATOR,
    NODE,
    NODE_MODULES,
    PYTHON,
    needs_python_generator,
    needs_typescript,
    run,
)
from support.doc_pages import blocks, page
from support.http_clients import TenantClient, served_client, tenant_factory

pytestmark = pytest.mark.slow

HERE = PROJECT_ROOT / "tests" / "clients"
DOCUMENT = PROJECT_ROOT / "docs" / "openapi.json"
QUESTION = "How long does the warranty of the boiler last?"
PATH = re.compile(r"(?://|#) (?:apps/web/)?(\S+)\n")


def write_code(folder: Path, *languages: str) -> list[str]:
    """Write the code of the page to the files that its first lines name, and return their names."""
    names = []
    for block in (block for language in languages for block in blocks(page("docs/frontend.md"), language)):
        name = PATH.match(block)
        assert name, f"this block does not begin with the name of its file:\n{block}"
        (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
        (folder / name[1]).write_text(block)
        names.append(name[1])
    return names


@pytest.fixture(scope="module")
async def served_tenant(settings: Settings, state: AppState, worker: None) -> AsyncGenerator[TenantClient]:
    """Return a tenant of a real server, whose files a real worker reads."""
    del worker
    async with served_client(settings, state) as client:
        yield await tenant_factory(client, settings)()


def token_of(tenant: TenantClient) -> str:
    return tenant.headers["Authorization"].removeprefix("Bearer ")


def origin_of(tenant: TenantClient) -> str:
    return str(httpx2.URL(tenant.http.base_url).join("/")).rstrip("/")


@pytest.fixture
async def web(tmp_path: Path) -> Path:
    """Return the front end of the page, with generated types."""
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text((HERE / "tsconfig.json").read_text())
    write_code(tmp_path, "javascript", "typescript")
    await run(NODE, "scripts/api-types.mjs", DOCUMENT.as_uri(), folder=tmp_path)
    return tmp_path


@needs_typescript
async def test_the_front_end_compiles_and_runs(web: Path, served_tenant: TenantClient) -> None:
    schema = (web / "lib" / "api" / "schema.d.ts").read_text()
    assert "files: Blob[];" in schema
    await run(NODE, NODE_MODULES / "typescript" / "bin" / "tsc", folder=web)
    project = await served_tenant.create_project("TypeScript")
    printed = await run(
        NODE,
        HERE / "run_page.mjs",
        web / "compiled",
        token_of(served_tenant),
        project,
        QUESTION,
        folder=web,
        NEXT_PUBLIC_API_BASE_URL=f"{origin_of(served_tenant)}/api",
    )
    told = json.loads(printed)
    assert told["uploaded"] == 2
    assert told["files"] == [["warranty.txt", "completed"], ["prices.txt", "completed"]]
    assert "5 years" in told["answer"]
    assert "warranty.txt" in told["passages"]
    assert told["matching"] == len(told["passages"])
    assert told["others"] == 0
    assert told["events"][0] == "meta"
    assert told["events"][-1] == "done"
    assert told["refused"] == "project_not_found"


@needs_typescript
async def test_a_wrong_call_is_a_type_error(web: Path) -> None:
    """The generated types are as strict as the API: they are not `any`."""
    wrong = [
        '{ query: "x" }',
        '{ project_id: "x", query: "x", limit: "10" }',
        '{ project_id: "x", query: "x", filters: { type: "gt", key: "year", value: true } }',
        '{ project_id: "x", query: "x", filters: { type: "or", filters: [{ type: "in", key: "a", value: 2024 }] } }',
    ]
    right = (
        '{ project_id: "x", query: "x", filters: { type: "or", filters: [{ type: "in", key: "a", value: [2024] }] } }'
    )
    calls = [f'api.POST("/api/v1/query/search", {{ body: {body} }});' for body in (*wrong, right)]
    (web / "lib" / "api" / "wrong.ts").write_text("\n".join(['import { api } from "./client";', *calls, ""]))
    with pytest.raises(AssertionError, match=r"wrong\.ts") as failure:
        await run(NODE, NODE_MODULES / "typescript" / "bin" / "tsc", "--noEmit", folder=web)
    assert set(re.findall(r"^(\S+)\((\d+),", str(failure.value), re.MULTILINE)) == {
        ("lib/api/wrong.ts", str(number)) for number, _ in enumerate(wrong, start=2)
    }


@needs_python_generator
async def test_the_client_in_python_uploads_and_asks(tmp_path: Path, served_tenant: TenantClient) -> None:
    await run(
        GENERATOR,
        "generate",
        f"--path={DOCUMENT}",
        "--meta=none",
        f"--output-path={tmp_path / 'ignite_client'}",
        folder=tmp_path,
    )
    (script,) = write_code(tmp_path, "python")
    (tmp_path / "warranty.txt").write_text("The warranty of the Ignite boiler lasts 5 years.")
    (tmp_path / "prices.txt").write_text("The Ignite boiler costs 1,200 euros.")
    project = await served_tenant.create_project("Python")
    printed = await run(
        PYTHON,
        script,
        origin_of(served_tenant),
        token_of(served_tenant),
        project,
        QUESTION,
        "warranty.txt",
        "prices.txt",
        folder=tmp_path,
    )
    assert "5 years" in printed
    files = (await served_tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert [file["filename"] for file in files] == ["warranty.txt", "prices.txt"]
