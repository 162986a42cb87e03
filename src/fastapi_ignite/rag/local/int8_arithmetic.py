"""Finds out whether this processor computes well with 8-bit integers.

Processors with instructions for it (VNNI and AMX of Intel and AMD, the dot product of ARM) multiply matrices of them
several times as fast as floats. Older ones of Intel and AMD gain little, and onnxruntime's sums overflow there
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Each system names the instructions
otherwise, so we multiply two small matrices instead of asking for names.
"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from fastapi_ignite.rag.local.onnx_format import CONTRIB, FLOAT, INT8, UINT8, Graph

Matrix = npt.NDArray[Any]
ENOUGH_GAIN: Final = 1.5
# as many tokens as a long passage has, and the size of most matrices of the model
_ROWS, _COLUMNS = 256, 384
_ROUNDS: Final = 8


def integers_gain() -> bool:
    """Return whether products of 8-bit integers are exact and at least 1.5 times as fast. It takes about 20 ms.

    Both are multiplied in turn, and the shortest time of each counts, so other work on the machine hardly matters.
    """
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (_ROWS, _COLUMNS), dtype=np.uint8)
    right = random.integers(-127, 128, (_COLUMNS, _COLUMNS), dtype=np.int8)
    integers, floats = _integer_product(right), _float_product(right)
    left_floats = left.astype(np.float32)
    # both are exact: sums of 384 products stay below 2^24, up to where floats hold each integer
    if not np.array_equal(_multiply(integers, left), _multiply(floats, left_floats)):
        return False
    with_integers, with_floats = [], []
    for _ in range(_ROUNDS):
        with_integers.append(_seconds(integers, left))
        with_floats.append(_seconds(floats, left_floats))
    return min(with_floats) >= ENOUGH_GAIN * min(with_integers)


def _integer_product(right: Matrix) -> onnxruntime.InferenceSession:
    graph = Graph({"left": (UINT8, (_ROWS, _COLUMNS))})
    graph.constant("right", INT8, right.shape, right.tobytes())
    graph.constant("one", FLOAT, [], np.float32(1).tobytes())
    return _session(graph, graph.add("MatMulIntegerToFloat", ["left", "right", "one", "one"], domain=CONTRIB))


def _float_product(right: Matrix) -> onnxruntime.InferenceSession:
    graph = Graph({"left": (FLOAT, (_ROWS, _COLUMNS))})
    graph.constant("right", FLOAT, right.shape, right.astype(np.float32).tobytes())
    return _session(graph, graph.add("MatMul", ["left", "right"]))


def _session(graph: Graph, product: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.to_bytes(product), options, providers=["CPUExecutionProvider"])


def _multiply(session: onnxruntime.InferenceSession, left: Matrix) -> Matrix:
    product: Matrix = session.run(None, {"left": left})[0]
    return product


def _seconds(session: onnxruntime.InferenceSession, left: Matrix) -> float:
    started = time.perf_counter()
    _multiply(session, left)
    return time.perf_counter() - started
