from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError, ExtractionLimits
from fastapi_ignite.rag.extraction.process import extract


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Awaitable[ExtractedText]]:
    async def read_bytes(
        data: bytes, filename: str = "upload", limits: ExtractionLimits | None = None
    ) -> ExtractedText:
        path = tmp_path / "stored-object"
        path.write_bytes(data)
        return await extract(path, filename=filename, limits=limits or ExtractionLimits())

    return read_bytes


@pytest.fixture
def refusal(read: Callable[..., Awaitable[ExtractedText]]) -> Callable[..., Awaitable[ExtractionError]]:
    async def refused(data: bytes, filename: str = "upload", limits: ExtractionLimits | None = None) -> ExtractionError:
        with pytest.raises(ExtractionError) as caught:
            await read(data, filename, limits)
        return caught.value

    return refused
