"""Reads tensors of an ONNX file and writes a small ONNX model, without the package `onnx` (33 MB installed).

An ONNX file is one message of Protocol Buffers. The numbers of the fields below are those of `onnx.proto`:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
CONTRIB: Final = "com.microsoft"  # the operators that onnxruntime adds to the standard
_IR_VERSION, _OPSET, _CONTRIB_OPSET = 10, 17, 1
_EXTERNAL: Final = 1
_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_MORE: Final = 128  # the bit of a byte after which a number goes on
# how a value is written, in the last three bits before it
_VARINT, _BYTES, _FIXED32 = 0, 2, 5


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Says where a file holds the numbers of a tensor: `size` bytes at `offset`."""

    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int


def read_tensors(file: bytes) -> dict[str, StoredTensor]:
    """Return the constant tensors of a model by name.

    Raises:
        ValueError: the file is no ONNX model, or has no tensors.
    """
    try:
        tensors = dict(
            _read_tensor(file, *tensor)
            for number, graph in _fields(file, 0, len(file))
            if number == _GRAPH
            for part, tensor in _fields(file, *graph)
            if part == _INITIALIZER
        )
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("the file is no ONNX model") from error
    if not tensors:
        raise ValueError("the file holds no tensors")
    return tensors


def _read_tensor(file: bytes, start: int, end: int) -> tuple[str, StoredTensor]:
    shape: list[int] = []
    name, kind, offset, size = "", 0, 0, 0
    for number, (first, last) in _fields(file, start, end):
        match number:
            case 1:  # dims, packed or one by one
                position = first
                while position < last:
                    size_of_axis, position = _varint(file, position)
                    shape.append(size_of_axis)
            case 2:
                kind, _ = _varint(file, first)
            case 8:
                name = file[first:last].decode()
            case 9:  # raw_data
                offset, size = first, last - first
    return name, StoredTensor(tuple(shape), kind, offset, size)


def _fields(file: bytes, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number of each field of a message, and where its value begins and ends."""
    while start < end:
        key, start = _varint(file, start)
        match key & 7:
            case 0:  # a number
                _, stop = _varint(file, start)
            case 1:  # eight bytes
                stop = start + 8
            case 2:  # so many bytes
                size, start = _varint(file, start)
                stop = start + size
            case 5:  # four bytes
                stop = start + 4
            case _:
                raise ValueError("the file is no ONNX model")
        if stop > end:
            raise ValueError("the file ends too early")
        yield key >> 3, (start, stop)
        start = stop


def _varint(file: bytes, start: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends."""
    value = shift = 0
    while True:
        byte = file[start]
        value |= (byte % _MORE) << shift
        shift += 7
        start += 1
        if byte < _MORE:
            return value, start


@dataclass(slots=True)
class Graph:
    """An ONNX model in the making. Results of operations are numbered, in the order in which they are computed."""

    inputs: Mapping[str, tuple[int, Sequence[str | int]]]
    _nodes: list[bytes] = field(default_factory=list)
    _tensors: dict[str, bytes] = field(default_factory=dict)
    _results: int = 0

    def add(self, operator: str, inputs: Sequence[str], *, domain: str = "", **numbers: float) -> str:
        """Add an operation with one result, and return its name. An input "" is one that is left out."""
        return self.add_with_results(1, operator, inputs, domain=domain, **numbers)[0]

    def add_with_results(
        self, count: int, operator: str, inputs: Sequence[str], *, domain: str = "", **numbers: float
    ) -> tuple[str, ...]:
        """Add an operation with so many results, and return their names."""
        results = tuple(f"result_{self._results + number}" for number in range(count))
        self._results += count
        strings = [(1, name) for name in inputs] + [(2, name) for name in results] + [(4, operator)]
        attributes = [(5, _attribute(name, value)) for name, value in numbers.items()]
        self._nodes.append(_message(*strings, *attributes, (7, domain)))
        return results

    def constant(self, name: str, kind: int, shape: Sequence[int], raw: bytes) -> str:
        """Add a tensor with its numbers, little-endian."""
        self._tensors[name] = _message(*((1, size) for size in shape), (2, kind), (8, name), (9, raw))
        return name

    def stored(self, name: str, tensor: StoredTensor, file_name: str) -> str:
        """Add a tensor whose numbers stay in a file, in the folder that the session is told."""
        place = {"location": file_name, "offset": str(tensor.offset), "length": str(tensor.size)}
        entries = [(13, _message((1, key), (2, value))) for key, value in place.items()]
        sizes = [(1, size) for size in tensor.shape]
        self._tensors[name] = _message(*sizes, (2, tensor.kind), (8, name), *entries, (14, _EXTERNAL))
        return name

    def to_bytes(self, result: str) -> bytes:
        """Return the bytes of an ONNX file whose only output is this result, of floats."""
        graph = _message(
            *((1, node) for node in self._nodes),
            (2, "graph"),
            *((5, tensor) for tensor in self._tensors.values()),
            *((11, _described(name, kind, shape)) for name, (kind, shape) in self.inputs.items()),
            (12, _described(result, FLOAT, None)),
        )
        opsets = [(8, _message((1, ""), (2, _OPSET))), (8, _message((1, CONTRIB), (2, _CONTRIB_OPSET)))]
        return _message((1, _IR_VERSION), (7, graph), *opsets)


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, 2))
    return _message((1, name), (2, value), (20, 1))


def _described(name: str, kind: int, shape: Sequence[str | int] | None) -> bytes:
    """Return a ValueInfoProto. A size with a name is any size, and no shape is any shape."""
    tensor = _message((1, kind))
    if shape is not None:
        tensor += _message((2, _message(*((1, _size(size)) for size in shape))))
    return _message((1, name), (2, _message((1, tensor))))


def _size(size: str | int) -> bytes:
    return _message((1, size)) if isinstance(size, int) else _message((2, size))


def _message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    return b"".join(_encoded(number, value) for number, value in fields)


def _encoded(number: int, value: float | str | bytes) -> bytes:
    if isinstance(value, int):
        return _encoded_varint(number << 3 | _VARINT) + _encoded_varint(value)
    if isinstance(value, float):
        return _encoded_varint(number << 3 | _FIXED32) + struct.pack("<f", value)
    raw = value.encode() if isinstance(value, str) else value
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(raw)) + raw


def _encoded_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value % _MORE + _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
