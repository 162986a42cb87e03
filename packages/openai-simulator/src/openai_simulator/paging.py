"""Lists that are read page by page with cursors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from openai_simulator.errors import invalid


class Page:
    """A page of a list in the order of creation. `after` and `before` are ids that are not part of the page."""

    def __init__(
        self,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: Annotated[str | None, Query(max_length=100)] = None,
        before: Annotated[str | None, Query(max_length=100)] = None,
    ) -> None:
        self.limit = limit
        self.order = order
        self.after = after
        self.before = before

    def of(self, rendered: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the page of the given objects, which are in the order of their creation."""
        ordered = list(rendered if self.order == "asc" else reversed(rendered))
        ids = [each["id"] for each in ordered]
        first = self._position(ids, self.after, "after") + 1 if self.after else 0
        last = self._position(ids, self.before, "before") if self.before else len(ids)
        # with `before` alone, the page is the objects nearest to that id
        start = max(first, last - self.limit) if self.before and not self.after else first
        data = ordered[start : min(last, start + self.limit)]
        more = start > first if self.before and not self.after else start + len(data) < last
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }

    @staticmethod
    def _position(ids: list[str], cursor: str, param: str) -> int:
        if cursor not in ids:
            raise invalid(f"Invalid '{param}': no object with id '{cursor}' in this list.", param, "invalid_value")
        return ids.index(cursor)


PageDep = Annotated[Page, Depends()]
