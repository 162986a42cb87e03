"""Facts about projects and files for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.ingestion.tasks import (
    backfill_embeddings,
    clear_up_cancelled_file,
    delete_file,
    maintain_indexes,
    process_file,
    rebuild,
    remove_orphans,
)
from support.feature_contracts import FeatureContract, JobRow

INSERT = (
    "INSERT INTO files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, state, notified_at) "
    "VALUES (:tenant, :id, :project, :id, 'a.txt', 1, '', :state, now())"
)
CONTRACT = FeatureContract(
    least_role={
        "GET /ingestion/projects/{project_id}/files": Role.VIEWER,
        "POST /ingestion/projects/create": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/ensure_vector_store": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/upload_and_attach": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/events": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/content": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/text": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/files/{file_id}/events": Role.VIEWER,
        "POST /ingestion/projects/{project_id}/files/{file_id}/cancel": Role.MEMBER,
        "POST /ingestion/projects/{project_id}/files/{file_id}/retry": Role.MEMBER,
        "GET /ingestion/projects/{project_id}/batches/{batch_id}": Role.VIEWER,
        "GET /ingestion/projects/{project_id}/batches/{batch_id}/events": Role.VIEWER,
        "POST /ingestion/projects/{project_id}/batches/{batch_id}/cancel": Role.MEMBER,
        "DELETE /ingestion/projects/{project_id}/remove_file": Role.MEMBER,
    },
    shared_tables={"sweep_positions": "holds the position of the storage sweep, for the system role only"},
    job_rows={
        delete_file: JobRow("files", "deleting", INSERT),
    },
    jobs_of_no_row=frozenset(
        {process_file, clear_up_cancelled_file, backfill_embeddings, maintain_indexes, rebuild, remove_orphans}
    ),
)
