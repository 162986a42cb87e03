"""Runs a program of a test in place of the parser that a worker has forked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi_ignite.rag.extraction import ExtractedText, ExtractionLimits
from fastapi_ignite.rag.extraction.parser_processes import executed_parser
from fastapi_ignite.rag.extraction.process import result_of


async def run_parser(command: Sequence[str], path: Path, limits: ExtractionLimits) -> ExtractedText:
    """Run `command` with the file as its standard input, and turn its answer, or its end, into a result."""
    with path.open("rb") as file:  # a small file of a test
        return await result_of(executed_parser(command, file), limits)
