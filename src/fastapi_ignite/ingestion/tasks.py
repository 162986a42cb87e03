"""The messages of ingestion. Arguments: tenant id, file id; those of `PROCESS_FILE` are for the log alone."""

from fastapi_ignite.infra.jobs import Job, Priority

PROCESS_FILE = Job("ingestion.process_file", "ingestion", Priority.INTERACTIVE, time_limit=1_800_000)
DELETE_FILE = Job("ingestion.delete_file", "ingestion", Priority.BACKGROUND)
BACKFILL_EMBEDDINGS = Job("ingestion.backfill_embeddings", "embedding", Priority.BACKGROUND, time_limit=3_600_000)
REBUILD = Job("ingestion.rebuild", "maintenance", Priority.BACKGROUND, time_limit=3_600_000)
RECONCILE = Job("ingestion.reconcile", "maintenance", Priority.BULK, time_limit=3_600_000)
