"""Every feature's jobs and periodic jobs in one place, and the periodic job that needs several features."""

from fastapi_ignite.billing import tasks as billing
from fastapi_ignite.exports import tasks as exports
from fastapi_ignite.infra import tasks as infra
from fastapi_ignite.infra.jobs import Job, PeriodicJob, TaskContext, periodic
from fastapi_ignite.ingestion import tasks as ingestion
from fastapi_ignite.query import tasks as query
from fastapi_ignite.usage import tasks as usage

MODULES = (ingestion, exports, query, usage, billing, infra)


@periodic(seconds=300)
async def sweep_storage(context: TaskContext) -> None:
    """Make stored objects and the rows that name them agree."""
    from fastapi_ignite.exports.repository import named_keys
    from fastapi_ignite.ingestion.storage_sweep import StorageSweep

    await StorageSweep(context.database, context.storage, named_keys).run()


_DECLARED = [value for module in MODULES for value in vars(module).values()]
JOBS = tuple(value for value in _DECLARED if isinstance(value, Job))
QUEUES = tuple(dict.fromkeys(job.queue for job in JOBS))
PERIODIC_JOBS = (*(value for value in _DECLARED if isinstance(value, PeriodicJob)), sweep_storage)
