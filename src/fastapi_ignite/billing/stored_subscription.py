"""A subscription as rows hold it: by the ORM where it changes, and by plain rows where many requests read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol, Self

from fastapi_ignite.billing.terms import TERMS_COLUMNS, Terms


class StoredPlan(Protocol):
    """The properties of a plan that readers of a subscription use."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def max_projects(self) -> int: ...
    @property
    def monthly_message_cap(self) -> int: ...
    @property
    def monthly_upload_char_cap(self) -> int: ...
    @property
    def rate_limit_rpm(self) -> int | None: ...


class StoredSubscription(Protocol):
    """The terms of a subscription, and its plans. `pending_plan` is the plan of a scheduled change."""

    @property
    def terms(self) -> Terms: ...
    @property
    def stored_plan(self) -> StoredPlan: ...
    @property
    def pending_plan(self) -> StoredPlan | None: ...
    def plan_on(self, day: date) -> StoredPlan:
        """Return the plan of the day. A scheduled change counts from its day on, also where the row lacks it."""
        ...


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan of a plain row."""

    id: str
    name: str
    max_projects: int
    monthly_message_cap: int
    monthly_upload_char_cap: int
    rate_limit_rpm: int | None


_PLAN_COLUMNS = tuple(PlanRow.__dataclass_fields__)
COLUMNS = ", ".join(
    f"{table}.{column}"
    for table, columns in (("s", TERMS_COLUMNS), ("plan", _PLAN_COLUMNS), ("next_plan", _PLAN_COLUMNS))
    for column in columns
)
TABLES = """subscriptions AS s
    JOIN plans AS plan ON plan.id = s.plan_id
    LEFT JOIN plans AS next_plan ON next_plan.id = s.pending_plan_id"""


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription of a plain row."""

    terms: Terms
    stored_plan: PlanRow
    pending_plan: PlanRow | None

    def plan_on(self, day: date) -> PlanRow:
        return self.pending_plan if self.pending_plan and self.terms.has_changed(day) else self.stored_plan

    @classmethod
    def of(cls, values: Sequence[Any]) -> tuple[Self | None, Sequence[Any]]:
        """Return the subscription of a row that begins with `COLUMNS`, or None if it has none, and the other values."""
        terms_end = len(TERMS_COLUMNS)
        plan_end, end = terms_end + len(_PLAN_COLUMNS), terms_end + 2 * len(_PLAN_COLUMNS)
        terms, plan, pending, others = (
            values[:terms_end],
            values[terms_end:plan_end],
            values[plan_end:end],
            values[end:],
        )
        if terms[0] is None:
            return None, others
        pending_plan = PlanRow(*pending) if pending[0] is not None else None
        return cls(Terms.stored(*terms), PlanRow(*plan), pending_plan), others
