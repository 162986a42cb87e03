"""Background work. A message only says "look now": the row it names holds the truth."""

from fastapi_ignite.infra.jobs.queue import Job, JobQueue, declare, make_broker

__all__ = ["Job", "JobQueue", "declare", "make_broker"]
