"""`python -m fastapi_ignite.cli`."""

from fastapi_ignite.cli import run

run()
