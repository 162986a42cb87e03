"""Every feature's jobs in one place."""

from fastapi_ignite.exports.jobs import EXPORT_TENANT, REMOVE_EXPORT
from fastapi_ignite.ingestion.jobs import DELETE_FILE, PROCESS_FILE, REBUILD, RECONCILE, SHARPEN
from fastapi_ignite.usage.jobs import ROLL_UP

JOBS = (PROCESS_FILE, DELETE_FILE, SHARPEN, EXPORT_TENANT, REMOVE_EXPORT, ROLL_UP, REBUILD, RECONCILE)
QUEUES = tuple(dict.fromkeys(job.queue for job in JOBS))
