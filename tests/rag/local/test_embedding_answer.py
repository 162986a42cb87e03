"""Valid and invalid answers of embeddings servers."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.rag.local.embedding_answer import (
    LONGEST_WAIT,
    MAX_DIMENSIONS,
    ServerFailedError,
    TextRefusedError,
    WrongDimensionsError,
    read_vectors,
    seconds_of,
)


def answer(*embeddings: object, order: list[int] | None = None) -> bytes:
    """Return the body of an answer; json.dumps writes NaN and Infinity, as some servers do."""
    indexes = order or list(range(len(embeddings)))
    data = [{"index": index, "embedding": each} for index, each in zip(indexes, embeddings, strict=True)]
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": {}}).encode()


def packed(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


def test_vectors_come_in_the_order_of_the_texts_and_with_unit_length() -> None:
    vectors = read_vectors(answer([0.0, 5.0], [3.0, 4.0], [2.0, 0.0], order=[2, 0, 1]), 3, None)
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]))
    assert vectors.dtype == np.float32


def test_floats_and_base64_say_the_same() -> None:
    plain, coded = answer([3, 4, 12], [1, 2, 2]), answer(packed(3, 4, 12), packed(1, 2, 2))
    assert np.array_equal(read_vectors(plain, 2, 3), read_vectors(coded, 2, 3))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(answer([1, 0]), id="too few"),
        pytest.param(answer([1, 0], [1, 0], [1, 0]), id="too many"),
        pytest.param(answer([1, 0], [1, 0], order=[0, 0]), id="one twice"),
        pytest.param(answer([1, 0], [1, 0], order=[1, 2]), id="numbered from one"),
        pytest.param(answer([1, 0], None), id="none"),
        pytest.param(answer([1, 0], [1, None]), id="a hole"),
        pytest.param(answer([1, 0], "no base64!"), id="not base64"),
        pytest.param(answer([1, 0], base64.b64encode(b"12345").decode()), id="no whole floats"),
        pytest.param(b'{"data": []}', id="empty"),
        pytest.param(b'{"error": "no"}', id="an error"),
        pytest.param(b"<html>", id="no JSON"),
    ],
)
def test_what_is_no_answer_is_the_servers_failure(body: bytes) -> None:
    with pytest.raises(ServerFailedError) as failed:
        read_vectors(body, 2, 2)
    assert type(failed.value) is ServerFailedError


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 0, 0]], 2),
        ([[1], [1, 0]], None),
        ([[]], None),
        ([[1.0] * (MAX_DIMENSIONS + 1)], None),
    ],
)
def test_vectors_of_another_length_are_told_apart(rows: list[list[float]], expected: int | None) -> None:
    with pytest.raises(WrongDimensionsError, match="dimensions"):
        read_vectors(answer(*rows), len(rows), expected)


def test_the_longest_vectors_that_can_be_indexed_are_taken() -> None:
    assert read_vectors(answer([1.0] * MAX_DIMENSIONS), 1, None).shape == (1, MAX_DIMENSIONS)


@pytest.mark.parametrize(
    "vector",
    [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [1e39, 1.0], packed(0, 0), packed(float("nan"), 1)],
)
def test_a_vector_without_a_direction_is_refused(vector: object) -> None:
    with pytest.raises(TextRefusedError):
        read_vectors(answer([1, 0], vector), 2, 2)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (None, 0),
        ("20", 20),
        ("0", 0),
        ("99999999999999999999", LONGEST_WAIT),
        ("-5", 0),
        ("²", 0),
        ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
    ],
)
def test_a_servers_wish_to_be_left_alone_is_understood_and_bounded(sent: str | None, seconds: float) -> None:
    assert seconds_of(sent) == seconds


def test_a_wish_may_be_a_date() -> None:
    sent = format_datetime(clock.now() + timedelta(seconds=60), usegmt=True)
    assert 0 < seconds_of(sent) <= 60
