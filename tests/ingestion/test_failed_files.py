"""Tests that a bad file fails with a reason, and that everything else continues."""

from __future__ import annotations

import pytest

from fastapi_ignite.infra.db import Database
from support import sample_files
from support.http_clients import TenantClient
from support.tenant_records import counter, eventually, rows_of

GOOD = b"The orchard keeps nine apple trees."
BAD = {
    "secret.docx": (sample_files.make_encrypted_office_file(), "password_protected"),
    "files.zip": (sample_files.make_zip({"a.txt": "text"}), "unsupported_type"),
    "picture.txt": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64), "unsupported_type"),
    "blank.txt": (b" \n\t\n", "no_text"),
    "scan.pdf": (sample_files.make_pdf([""]), "no_text"),
    "cut.pdf": (b"%PDF-1.7\nnothing of use", "corrupt_file"),
    "bomb.docx": (sample_files.make_docx_bomb(64), "too_large"),
    "empty.txt": (b"", "empty_file"),
}


@pytest.mark.usefixtures("worker")
async def test_bad_files_among_good_ones(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    files = [(name, content) for name, (content, _) in BAD.items()]
    answer = await tenant.upload(project, ("first.txt", GOOD), *files, ("last.txt", GOOD + b"!"), wait_seconds=60)
    assert answer.status_code == 200
    body = answer.json()
    assert body["batch_status"] == "completed"
    assert body["file_counts"] == {
        "processed": 2,
        "in_progress": 0,
        "failed": len(BAD),
        "cancelled": 0,
        "total": len(BAD) + 2,
    }
    failed = {file["filename"]: file["last_error"] for file in body["files"] if file["status"] == "failed"}
    assert {name: error["code"] for name, error in failed.items()} == {name: code for name, (_, code) in BAD.items()}
    for error in failed.values():
        assert set(error) == {"code", "message", "stage", "retryable"}
        assert error["message"].endswith(".")
        assert not error["retryable"]
    assert await counter(database, tenant.id, "characters") == (2 * len(GOOD) + 1, 0)
    listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()
    assert {file["filename"]: file["last_error"] for file in listed["files"]} == {
        "first.txt": None,
        "last.txt": None,
        **failed,
    }


@pytest.mark.usefixtures("worker")
async def test_the_worker_lives(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    for content in (BAD["bomb.docx"][0], BAD["cut.pdf"][0]):
        body = (await tenant.upload(project, ("bad.pdf", content))).json()
        assert (body["batch_status"], body["file_counts"]["failed"]) == ("failed", 1)
    assert (await tenant.upload(project, ("good.txt", GOOD))).json()["batch_status"] == "completed"


@pytest.mark.usefixtures("worker")
async def test_a_failed_file_can_be_removed_and_sent_again(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    (bad,) = (await tenant.upload(project, ("guide.pdf", BAD["cut.pdf"][0]))).json()["files"]
    path = f"/ingestion/projects/{project}"
    params = {"openai_file_id": bad["id"], "delete_raw": True}
    assert (await tenant.delete(f"{path}/remove_file", params=params)).status_code == 200
    (good,) = (await tenant.upload(project, ("guide.pdf", sample_files.make_pdf(["Nine trees."])))).json()["files"]
    assert good["status"] == "completed"
    listed = (await tenant.get(f"{path}/files")).json()["files"]
    assert [file["id"] for file in listed] == [good["id"]]

    async def removed() -> bool:
        (row,) = await rows_of(database, tenant.id, "SELECT state FROM files WHERE id = :id", id=bad["id"])
        return bool(row["state"] == "deleted")

    await eventually(removed)
