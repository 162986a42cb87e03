"""Every feature's jobs and periodic jobs in one place, and the periodic job that needs several features.

A new `tasks.py` is found by its name. One whose feature stores objects has `named_keys`, a `NamedElsewhere`.
"""

from importlib import import_module
from pathlib import Path

from fastapi_ignite.infra.jobs import Job, PeriodicJob, TaskContext, periodic

MODULES = tuple(
    import_module(f"{__package__}.{path.parent.name}.tasks")
    for path in sorted(Path(__file__).parent.glob("*/tasks.py"))
)
NAMED_KEYS = tuple(vars(module)["named_keys"] for module in MODULES if "named_keys" in vars(module))


@periodic(seconds=300)
async def sweep_storage(context: TaskContext) -> None:
    """Make stored objects and the rows that name them agree."""
    from fastapi_ignite.ingestion.storage_sweep import StorageSweep

    await StorageSweep(context.database, context.storage, NAMED_KEYS).run()


_DECLARED = [value for module in MODULES for value in vars(module).values()]
JOBS = tuple(value for value in _DECLARED if isinstance(value, Job))
QUEUES = tuple(dict.fromkeys(job.queue for job in JOBS))
PERIODIC_JOBS = (*(value for value in _DECLARED if isinstance(value, PeriodicJob)), sweep_storage)
