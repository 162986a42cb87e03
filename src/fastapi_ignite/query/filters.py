"""Validates filters on the attributes of files, in OpenAI's shape, and compiles them to jsonpath."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fastapi_ignite.ingestion.attributes import AttributeNumber, AttributeText, AttributeValue
from fastapi_ignite.projects.schemas import MetadataKey
from fastapi_ignite.rag.engine import AttributeCondition

MOST_LEVELS: Final = 5
MOST_COMPARISONS: Final = 50
MOST_VALUES: Final = 100
# Each takes 50 ns for each file of the project.
MOST_VALUES_TOGETHER: Final = 500
FILTER_EXAMPLE: dict[str, Any] = {
    "type": "and",
    "filters": [
        {"type": "eq", "key": "department", "value": "support"},
        {"type": "gte", "key": "year", "value": 2024},
    ],
}
_ORDER: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class _Comparison(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: MetadataKey


class EqualityFilter(_Comparison):
    """The attribute is equal to the value (`eq`), or it is not, or the file does not have it (`ne`)."""

    type: Literal["eq", "ne"]
    value: AttributeValue

    def compile(self, variables: _Variables) -> str:
        found = variables.comparison(self.key, "==", self.value)
        return found if self.type == "eq" else f"!({found})"


class OrderFilter(_Comparison):
    """The attribute is a number and greater or less than the number, or a string and after or before the string."""

    type: Literal["gt", "gte", "lt", "lte"]
    value: AttributeText | AttributeNumber

    def compile(self, variables: _Variables) -> str:
        return variables.comparison(self.key, _ORDER[self.type], self.value)


class MembershipFilter(_Comparison):
    """The attribute is equal to one of the values (`in`), or to none, or the file does not have it (`nin`)."""

    type: Literal["in", "nin"]
    value: list[AttributeValue] = Field(min_length=1, max_length=MOST_VALUES)

    def compile(self, variables: _Variables) -> str:
        found = variables.comparison(self.key, "==", self.value)
        return found if self.type == "in" else f"!({found})"


class CompoundFilter(BaseModel):
    """All of the filters match (`and`), or at least one does (`or`)."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["and", "or"]
    filters: list[Filter] = Field(min_length=1, max_length=MOST_COMPARISONS)

    def compile(self, variables: _Variables) -> str:
        operator = " && " if self.type == "and" else " || "
        return operator.join(f"({each.compile(variables)})" for each in self.filters)


Filter: TypeAlias = Annotated[
    EqualityFilter | OrderFilter | MembershipFilter | CompoundFilter, Field(discriminator="type")
]
CompoundFilter.model_rebuild()


def _require_bounds(filters: Filter) -> Filter:
    """Refuse what is nested too deep or compares too often."""
    comparisons = list(_comparisons(filters))
    if max(level for level, _ in comparisons) > MOST_LEVELS:
        raise ValueError(f"filters may be nested at most {MOST_LEVELS} levels deep")
    if len(comparisons) > MOST_COMPARISONS:
        raise ValueError(f"there may be at most {MOST_COMPARISONS} comparisons")
    if sum(len(each.value) for _, each in comparisons if isinstance(each, MembershipFilter)) > MOST_VALUES_TOGETHER:
        raise ValueError(f"all lists together may have at most {MOST_VALUES_TOGETHER} values")
    return filters


def _comparisons(filters: Filter, level: int = 1) -> Iterator[tuple[int, Filter]]:
    """Yield each comparison with its level. It stops below the deepest level that is allowed."""
    if not isinstance(filters, CompoundFilter) or level > MOST_LEVELS:
        yield level, filters
        return
    for each in filters.filters:
        yield from _comparisons(each, level + 1)


Filters = Annotated[
    Filter,
    AfterValidator(_require_bounds),
    Field(
        description="Only files whose attributes match are searched. At most 5 levels deep, with 50 comparisons and "
        "500 values in lists.",
        examples=[FILTER_EXAMPLE],
    ),
]


def condition_of(filters: Filter | None) -> AttributeCondition | None:
    """Return the condition that PostgreSQL evaluates, or None where there is no filter.

    All keys and values become variables, so that the jsonpath consists of our own words only.
    """
    if filters is None:
        return None
    variables = _Variables()
    path = filters.compile(variables)
    return AttributeCondition(variables.keys, path, json.dumps(variables.values))


class _Variables:
    """The keys of a filter, and the values that it compares with, by the names that they have in the jsonpath."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.values: dict[str, object] = {}

    def comparison(self, key: str, operator: str, value: object) -> str:
        """Return a predicate that is true where the file's value of the key compares with the value.

        With a list it compares with one of the values, as jsonpath takes lists apart. The predicate is never unknown,
        so that it may be negated: `exists` is false where two types cannot be compared.
        """
        if key not in self.keys:
            self.keys.append(key)
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"exists($[{self.keys.index(key)}] ? (@ {operator} ${name}))"
