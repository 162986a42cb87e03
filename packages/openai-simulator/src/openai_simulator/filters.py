"""Filters on the attributes of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

FilterValue = bool | int | float | Annotated[str, Field(max_length=512)]
Comparison = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda held, value: held > value,
    "gte": lambda held, value: held >= value,
    "lt": lambda held, value: held < value,
    "lte": lambda held, value: held <= value,
}


def _branch(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "compound" if kind in {"and", "or"} else "comparison"


class ComparisonFilter(BaseModel):
    """Compares an attribute with a value. A file without the attribute matches `ne` and `nin` only."""

    model_config = ConfigDict(extra="forbid")
    type: Comparison
    key: str = Field(min_length=1, max_length=64)
    value: FilterValue | Annotated[list[FilterValue], Field(max_length=1000)]

    def matches(self, attributes: Mapping[str, object]) -> bool:
        held = attributes.get(self.key)
        values = self.value if isinstance(self.value, list) else [self.value]
        if self.type in {"eq", "in"}:
            return held is not None and any(_same(held, value) for value in values)
        if self.type in {"ne", "nin"}:
            return not any(_same(held, value) for value in values)
        value = values[0] if values else None
        return _kind(held) == _kind(value) != "other" and _ORDERED[self.type](held, value)


class CompoundFilter(BaseModel):
    """Matches if all filters match (`and`), or if any of them does (`or`)."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["and", "or"]
    filters: list[Filter] = Field(min_length=1, max_length=100)

    def matches(self, attributes: Mapping[str, object]) -> bool:
        combine = all if self.type == "and" else any
        return combine(each.matches(attributes) for each in self.filters)


Filter = Annotated[
    Annotated[ComparisonFilter, Tag("comparison")] | Annotated[CompoundFilter, Tag("compound")], Discriminator(_branch)
]
CompoundFilter.model_rebuild()


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "other"


def _same(held: object, value: object) -> bool:
    """Compare two values, where `True` does not equal 1 as it does in Python."""
    return isinstance(held, bool) == isinstance(value, bool) and held == value
