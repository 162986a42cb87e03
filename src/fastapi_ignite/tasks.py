"""Every feature's jobs in one place."""

from fastapi_ignite.exports.tasks import EXPORT_TENANT, REMOVE_EXPORT
from fastapi_ignite.ingestion.tasks import BACKFILL_EMBEDDINGS, DELETE_FILE, PROCESS_FILE, REBUILD, RECONCILE
from fastapi_ignite.usage.tasks import ROLL_UP

JOBS = (PROCESS_FILE, DELETE_FILE, BACKFILL_EMBEDDINGS, EXPORT_TENANT, REMOVE_EXPORT, ROLL_UP, REBUILD, RECONCILE)
QUEUES = tuple(dict.fromkeys(job.queue for job in JOBS))
