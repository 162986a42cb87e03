"""Tests of single files: their state, their bytes as they were uploaded, and their stored text."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.downloads import attachment
from fastapi_ignite.ingestion.processing import FileProcessor
from support.http_clients import TenantClient
from support.sample_pdfs import PdfFile, lines

TEXT = "Größe: neun Äpfel 🍎 im Garten.\n" * 40
NAME = "Bericht; 2026 🍎.txt"


async def uploaded(tenant: TenantClient, project: str, name: str, content: bytes) -> tuple[str, dict[str, Any]]:
    """Upload a file, and return its path and what the upload answered of it."""
    (file,) = (await tenant.upload(project, (name, content))).json()["files"]
    return f"/ingestion/projects/{project}/files/{file['id']}", file


@pytest.mark.usefixtures("worker")
async def test_a_file_is_read_with_its_details(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    path, file = await uploaded(tenant, project, "garden.txt", TEXT.encode())
    read = (await tenant.get(path)).json()
    assert (read["id"], read["filename"], read["status"], read["percentage"]) == (
        file["id"],
        "garden.txt",
        "completed",
        100,
    )
    assert (read["sha256"], read["attempts"]) == (hashlib.sha256(TEXT.encode()).hexdigest(), 1)
    assert (read["media_type"], read["pages"], read["characters"]) == ("text/plain", None, len(TEXT))
    (listed,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert {**listed, "embedded": None} == {**read, "embedded": None}


@pytest.mark.usefixtures("worker")
async def test_the_content_is_what_was_uploaded_and_no_browser_shows_it(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    page = b"<html><script>alert(1)</script><p>Nine apple trees.</p></html>"
    path, file = await uploaded(tenant, project, NAME, page)
    answer = await tenant.get(f"{path}/content")
    assert (answer.status_code, answer.content) == (200, page)
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")
    assert headers["content-length"] == str(len(page))
    assert headers["etag"] == f'"{file["sha256"]}"'
    assert headers["content-disposition"] == (
        "attachment; filename=\"Bericht; 2026 _.txt\"; filename*=UTF-8''Bericht%3B%202026%20%F0%9F%8D%8E.txt"
    )
    known = await tenant.http.get(f"{path}/content", headers={**tenant.headers, "If-None-Match": headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", headers["etag"])


async def test_ranges_of_the_content(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    content = bytes(range(32, 127)) * 10_000  # several blocks of the storage
    path, file = await uploaded_unprocessed(tenant, project, content)
    total = len(content)

    async def part(**headers: str) -> tuple[int, bytes, str | None]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await tenant.http.get(f"{path}/content", headers={**tenant.headers, **sent})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert await part(Range="bytes=5-9") == (206, content[5:10], f"bytes 5-9/{total}")
    assert await part(Range="bytes=300000-") == (206, content[300_000:], f"bytes 300000-{total - 1}/{total}")
    assert await part(Range="bytes=-7") == (206, content[-7:], f"bytes {total - 7}-{total - 1}/{total}")
    assert await part(Range=f"bytes=5-{total * 2}") == (206, content[5:], f"bytes 5-{total - 1}/{total}")
    for ignored in ("bytes=9-5", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=a-b"):
        assert await part(Range=ignored) == (200, content, None)
    assert await part(Range="bytes=0-3", If_Range='"other"') == (200, content, None)
    assert await part(Range="bytes=0-3", If_Range=f'"{file["sha256"]}"') == (206, content[:4], f"bytes 0-3/{total}")
    for beyond in (f"bytes={total}-", "bytes=-0"):
        status, problem, place = await part(Range=beyond)
        assert (status, place) == (416, f"bytes */{total}")
        assert b"range_not_satisfiable" in problem


async def test_bytes_that_are_gone_are_410(tenant_without_worker: TenantClient, settings: Settings) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path, _ = await uploaded_unprocessed(tenant, project)
    for stored in (settings.ignite.data_dir / "storage" / "objects" / str(tenant.id)).rglob("*"):
        if stored.is_file():
            stored.unlink()
    answer = await tenant.get(f"{path}/content")
    assert (answer.status_code, answer.json()["code"]) == (410, "content_gone")


async def uploaded_unprocessed(
    tenant: TenantClient, project: str, content: bytes = TEXT.encode()
) -> tuple[str, dict[str, Any]]:
    (file,) = (await tenant.upload(project, ("a.txt", content), wait_seconds=0)).json()["files"]
    return f"/ingestion/projects/{project}/files/{file['id']}", file


async def test_the_text_around_a_quote(tenant_without_worker: TenantClient, processor: FileProcessor) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path, file = await uploaded_unprocessed(tenant, project)
    early = await tenant.get(f"{path}/text")
    assert (early.status_code, early.json()["code"], early.json()["stage"]) == (409, "text_not_ready", "queued")
    await processor.process(tenant.id, file["id"])
    whole = (await tenant.get(f"{path}/text")).json()
    assert (whole["text"], whole["start"], whole["end"], whole["total"]) == (TEXT, 0, len(TEXT), len(TEXT))
    start = TEXT.index("🍎")
    part = (await tenant.get(f"{path}/text", params={"start": start, "end": start + 4})).json()
    assert (part["text"], part["end"], part["start_page"]) == ("🍎 im", start + 4, None)
    beyond = (await tenant.get(f"{path}/text", params={"start": 10**6})).json()
    assert (beyond["text"], beyond["start"], beyond["end"], beyond["total"]) == ("", 10**6, 10**6, len(TEXT))
    for start, end in ((5, 4), (0, 100_001)):
        refused = await tenant.get(f"{path}/text", params={"start": start, "end": end})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_text_range")


@pytest.mark.usefixtures("worker")
async def test_the_text_of_a_format_with_pages_names_them(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    pdf = PdfFile()
    for text in ("The first page.", "The second page."):
        pdf.add_page(lines(text))
    path, file = await uploaded(tenant, project, "two.pdf", pdf.to_bytes())
    assert (file["pages"], file["media_type"]) == (2, "application/pdf")
    text = (await tenant.get(f"{path}/text")).json()
    assert (text["start_page"], text["end_page"]) == (1, 2)
    start = text["text"].index("second")
    part = (await tenant.get(f"{path}/text", params={"start": start, "end": start + 6})).json()
    assert (part["text"], part["start_page"], part["end_page"]) == ("second", 2, 2)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"\\\r\n%41.txt', "attachment; filename=\"a_____41.txt\"; filename*=UTF-8''a%22%5C__%2541.txt"),
        ("../guides/a b.txt", 'attachment; filename="a b.txt"'),
        ("\u202etxt.exe", 'attachment; filename="_txt.exe"'),
    ],
)
def test_a_file_name_cannot_leave_its_header(name: str, header: str) -> None:
    assert attachment(name) == header


@pytest.mark.usefixtures("worker")
async def test_folders_in_names_are_kept_if_the_client_asks_for_it(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    kept = await tenant.post(
        f"/ingestion/projects/{project}/upload_and_attach",
        params={"wait_seconds": 60, "keep_folders": True},
        files=[("files", ("../guides/trees/orchard.txt", TEXT.encode()))],
    )
    [file] = kept.json()["files"]
    assert (file["filename"], file["status"]) == ("guides/trees/orchard.txt", "completed")
    found = (await tenant.search(project, "Äpfel im Garten")).json()["results"]
    assert {result["filename"] for result in found} == {"guides/trees/orchard.txt"}
    download = await tenant.get(f"/ingestion/projects/{project}/files/{file['id']}/content")
    assert download.headers["content-disposition"] == 'attachment; filename="orchard.txt"'
    assert download.content == TEXT.encode()


@pytest.mark.parametrize("what", ["", "/content", "/text", "/events"])
async def test_an_unknown_file_is_404(tenant: TenantClient, what: str) -> None:
    project = await tenant.create_project()
    answer = await tenant.get(f"/ingestion/projects/{project}/files/{new_id()}{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")
