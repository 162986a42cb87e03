"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Default: PORT.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="API processes.")]
