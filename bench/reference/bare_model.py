"""The bare model: nothing but onnxruntime, on tokens that are there already. The vectors are not even pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from fastapi_ignite.rag.local.minilm_graph import quantised_graph

Run = Callable[[Sequence[int]], object]


def bare_original(path: Path) -> Run:
    """Return a function that runs the file as it is on the tokens of one text."""
    session = onnxruntime.InferenceSession(str(path), _one_thread(), providers=["CPUExecutionProvider"])

    def run(tokens: Sequence[int]) -> object:
        ids = np.array([tokens], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return session.run(None, inputs)

    return run


def bare_quantised(path: Path) -> Run:
    """Return a function that runs our graph of 8-bit integers on the tokens of one text."""
    options = _one_thread()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    graph = quantised_graph(path.read_bytes(), path.name)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda tokens: session.run(None, {"input_ids": np.array([tokens], dtype=np.int64)})


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options
