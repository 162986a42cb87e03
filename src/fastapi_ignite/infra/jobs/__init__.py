"""Background work. A message only says "look now": the row it names holds the truth."""

from fastapi_ignite.infra.jobs.brokers import JobBroker, make_broker
from fastapi_ignite.infra.jobs.job import Job, Priority
from fastapi_ignite.infra.jobs.queue import JobQueue, declare

__all__ = ["Job", "JobBroker", "JobQueue", "Priority", "declare", "make_broker"]
