"""Lines of the log are the same, whichever way they take."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.logging import configure_logging, log_event

VALUES = {"route": "/items/{item_id}", "status": 200, "tenant_id": None, "client": 'an "address" of\ntwo lines'}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@pytest.fixture
def request_id() -> Iterator[str]:
    with structlog.contextvars.bound_contextvars(request_id="asked"):
        yield "asked"


@pytest.mark.usefixtures("restored_logging", "request_id")
@pytest.mark.parametrize("env", ["development", "production"])
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_an_event_is_logged_as_structlog_would(
    settings: Settings, capsys: pytest.CaptureFixture[str], env: str, level: str
) -> None:
    configure_logging(settings.model_copy(update={"app": settings.app.model_copy(update={"env": env})}))
    structlog.get_logger("fastapi_ignite.compared").log(logging.getLevelName(level), "request", **VALUES)
    log_event(logging.getLogger("fastapi_ignite.compared"), logging.getLevelName(level), "request", **VALUES)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (0 if level == "DEBUG" else 2)
    assert len({TIMESTAMP.sub("then", line) for line in lines}) <= 1
    assert all("asked" in line and TIMESTAMP.search(line) for line in lines)
