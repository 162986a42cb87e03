"""Background work. A message only says "look now": the row it names holds the truth."""

from fastapi_ignite.infra.jobs.brokers import JobBroker, make_broker
from fastapi_ignite.infra.jobs.context import TaskContext
from fastapi_ignite.infra.jobs.declarations import Job, PeriodicJob, Priority, job, periodic
from fastapi_ignite.infra.jobs.queue import JobQueue

__all__ = [
    "Job",
    "JobBroker",
    "JobQueue",
    "PeriodicJob",
    "Priority",
    "TaskContext",
    "job",
    "make_broker",
    "periodic",
]
