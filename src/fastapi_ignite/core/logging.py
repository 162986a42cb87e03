"""Configure one structlog pipeline for our own events and those of the standard library."""

from __future__ import annotations

import logging
import sys

import structlog

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.outage_log import TracebackLimit

QUIET = ("httpx2", "httpcore2", "apscheduler", "dramatiq", "asyncio", "sqlalchemy")


def configure_logging(settings: Settings) -> None:
    """Log to stderr: JSON lines in production, readable lines elsewhere. It may be called more than once."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.app.production
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # the default, `rich`, prints local variables, which may be secrets, and takes seconds
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, TracebackLimit(), *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    level = "DEBUG" if settings.app.debug else settings.app.log_level
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
