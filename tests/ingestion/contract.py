"""Facts about projects and files for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.ingestion.tasks import (
    backfill_embeddings,
    clear_up_cancelled_file,
    delete_file,
    delete_project,
    maintain_indexes,
    process_file,
    rebuild,
    remove_orphans,
)
from support.feature_contracts import FeatureContract, JobRow
from support.http_clients import TenantClient

INSERT = (
    "INSERT INTO deletions (tenant_id, id, kind, project_id, state, notified_at) "
    "VALUES (:tenant, :id, '{kind}', :project, :state, now())"
)


async def _perform_audited_actions(tenant: TenantClient) -> None:
    project = (await tenant.get("/ingestion/projects")).json()["projects"][0]["id"]
    await tenant.patch(f"/ingestion/projects/{project}", json={"name": "Soon deleted"})
    (file,) = (await tenant.upload(project, ("guide.txt", b"The first text."))).json()["files"]
    path = f"/ingestion/projects/{project}/files/{file['id']}"
    await tenant.put(f"{path}/content", files={"file": ("guide.txt", b"The second text.")})
    await tenant.post(f"{path}/versions/1/restore")
    # so many files that a worker cannot be through with them before the last one is cancelled
    sent = [(f"{number}.txt", f"Note {number}.".encode()) for number in range(100)]
    upload = (await tenant.upload(project, *sent, wait_seconds=0)).json()
    last = f"/ingestion/projects/{project}/files/{upload['files'][-1]['id']}"
    await tenant.patch(last, json={"attributes": {"year": 2024}})
    await tenant.post(f"{last}/cancel")
    await tenant.post(f"/ingestion/projects/{project}/batches/{upload['batch_id']}/cancel")
    await tenant.post(f"{last}/retry")
    await tenant.delete(f"/ingestion/projects/{project}")


CONTRACT = FeatureContract(
    least_role={
        "GET /ingestion/projects/{project_id}/files": Role.VIEWER,
        "GET /ingestion/projects": Role.VIEWER,
        "GET /ingestion/projects/{project_id}": Role.VIEWER,
        "PATCH /ingestion/projects/{project_id}": Role.MEMBER,
        "DELETE /ingestion/projects/{project_id}": Role.MEMBER,
        "POST /ingestion/projects/create": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/ensure_vector_store": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/upload_and_attach": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/events": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}": Role.VIEWER,
        "PATCH /ingestion/projects/{project_id}/files/{file_id}": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/content": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/text": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/events": Role.VIEWER,
        "PUT /ingestion/projects/{project_id}/files/{file_id}/content": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/versions": Role.VIEWER,
        "POST /ingestion/projects/{project_id}/files/{file_id}/versions/{number}/restore": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/files/{file_id}/cancel": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/files/{file_id}/retry": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/batches/{batch_id}": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/batches/{batch_id}/events": Role.VIEWER,
        "POST /ingestion/projects/{project_id}/batches/{batch_id}/cancel": Role.MEMBER,
        "DELETE /ingestion/projects/{project_id}/remove_file": Role.MEMBER,
    },
    shared_tables={"sweep_positions": "holds the position of the storage sweep, for the system role only"},
    job_rows={
        delete_file: JobRow("deletions", "in_progress", INSERT.format(kind="file")),
        delete_project: JobRow("deletions", "in_progress", INSERT.format(kind="project")),
    },
    perform_audited_actions=_perform_audited_actions,
    jobs_of_no_row=frozenset(
        {process_file, clear_up_cancelled_file, backfill_embeddings, maintain_indexes, rebuild, remove_orphans}
    ),
)
