"""The messages of ingestion. Arguments: tenant id, file id."""

from fastapi_ignite.infra.jobs import Job

PROCESS_FILE = Job("ingestion.process_file", queue="ingestion", priority=0, time_limit=1_800_000)
DELETE_FILE = Job("ingestion.delete_file", queue="ingestion", priority=0)
SHARPEN = Job("ingestion.sharpen", queue="embedding", priority=10, time_limit=3_600_000)
