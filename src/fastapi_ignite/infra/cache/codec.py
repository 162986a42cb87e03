"""Values as JSON, by the type a function declares. Reading an entry can run no code, whoever wrote it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter

T = TypeVar("T")
FORMAT = 1  # of entries; a new one makes every older entry unreachable


class UncacheableValueError(Exception):
    """The value is not what the function declares, or has no JSON form."""


class Codec(Generic[T]):
    """`version` is made from the shape of the type: a deploy that changes the shape reads none of the old entries."""

    def __init__(self, value_type: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(value_type)
        shape = json.dumps([FORMAT, self._adapter.json_schema(mode="serialization")], sort_keys=True)
        self.version = hashlib.blake2b(shape.encode(), digest_size=4).hexdigest()

    def encode(self, value: T) -> bytes:
        """JSON that `decode` turns into an equal value.

        Raises:
            UncacheableValueError: a value of another type than declared would come back as something else.
        """
        try:
            return self._adapter.dump_json(value, round_trip=True, warnings="error")
        except ValueError as error:
            raise UncacheableValueError(str(error)) from error

    def encode_response(self, value: T) -> bytes:
        """JSON as a client gets it: aliases and computed fields included."""
        return self._adapter.dump_json(value, by_alias=True, warnings="error")

    def decode(self, data: bytes) -> T:
        """Validated anew; a `ValueError` where the bytes do not fit the type."""
        return self._adapter.validate_json(data, by_alias=False, by_name=True)


def return_type(function: Callable[..., Any]) -> Any:
    """The type a function declares to return.

    Raises:
        TypeError: it declares none.
    """
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"{function.__qualname__} needs a return annotation: cached values are read back by it")
    return hints["return"]
