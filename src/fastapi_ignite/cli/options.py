"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API. Default: the setting PORT.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Number of API processes.")]
