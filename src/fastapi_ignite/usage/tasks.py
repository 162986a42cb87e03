"""The messages of usage. No arguments."""

from fastapi_ignite.infra.jobs import Job, Priority

ROLL_UP = Job("usage.roll_up", "maintenance", Priority.BULK)
