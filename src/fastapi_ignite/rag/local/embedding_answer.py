"""Reads the answer of an embeddings server, or refuses it."""

from __future__ import annotations

import base64
import binascii
from email.utils import parsedate_to_datetime

import numpy as np
from pydantic import BaseModel, ValidationError

from fastapi_ignite.core import clock
from fastapi_ignite.rag.local.embedding import EmbeddingError, Vectors

# the most dimensions that an index on a halfvec column can have
MAX_DIMENSIONS = 4000
LONGEST_WAIT = 600
# The service, or a proxy before it, says that this input will not do.
REFUSALS = frozenset({400, 413, 422})
SHORTEST_NORM = 1e-6


class ServerFailedError(Exception):
    """The server is at fault, whatever it should embed. `retry_after` is the wait that it names, or 0."""

    def __init__(self, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WrongDimensionsError(ServerFailedError):
    """The vectors have another length than is expected or can be stored, which no waiting mends."""


class TextRefusedError(EmbeddingError):
    """The server refuses one of the texts. It may accept the others."""


class _Embedded(BaseModel):
    index: int
    embedding: list[float] | str


class _EmbeddingsResponse(BaseModel):
    data: list[_Embedded]


def failure(status: int, retry_after: str | None) -> Exception:
    """Return the error that an answer without success means."""
    if status in REFUSALS:
        return TextRefusedError(f"the server answered {status}")
    return ServerFailedError(f"the server answered {status}", retry_after=seconds_of(retry_after))


def seconds_of(retry_after: str | None) -> float:
    """Return `Retry-After` in seconds from now, bounded, or 0 where it cannot be read."""
    if retry_after is None:
        return 0
    if retry_after.isascii() and retry_after.isdecimal():
        return float(min(int(retry_after[:9]), LONGEST_WAIT))
    try:
        seconds = (parsedate_to_datetime(retry_after) - clock.now()).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def read_vectors(body: bytes, count: int, dimensions: int | None) -> Vectors:
    """Return one unit vector a row, in the order of the texts.

    Raises:
        ServerFailedError: this is no answer to the question.
        TextRefusedError: a vector is not a number, or has no direction.
    """
    try:
        data = _EmbeddingsResponse.model_validate_json(body).data
        if sorted(each.index for each in data) != list(range(count)):
            raise ServerFailedError(
                f"the server answered {len(data)} vectors for {count} texts, or numbers them wrongly"
            )
        rows = [_floats(each.embedding) for each in sorted(data, key=lambda each: each.index)]
    except (ValidationError, binascii.Error) as error:
        raise ServerFailedError("the server's answer holds no vectors") from error
    lengths = {len(row) for row in rows}
    expected = dimensions or len(rows[0])
    if lengths != {expected} or not 1 <= expected <= MAX_DIMENSIONS:
        raise WrongDimensionsError(
            f"the server answers vectors of {max(lengths)} dimensions, "
            + (f"not {dimensions}" if dimensions else f"and 1 to {MAX_DIMENSIONS} can be stored")
        )
    return _normalised(np.stack(rows))


def _floats(embedding: list[float] | str) -> Vectors:
    if isinstance(embedding, str):
        raw = base64.b64decode(embedding, validate=True)
        if len(raw) % 4:
            raise binascii.Error
        return np.frombuffer(raw, dtype="<f4").astype(np.float32)
    with np.errstate(over="ignore"):
        return np.array(embedding, dtype=np.float32)


def _normalised(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all() or norms.min() < SHORTEST_NORM:
        raise TextRefusedError("the server answered a vector that has no direction")
    unit: Vectors = (vectors / norms).astype(np.float32)
    return unit
