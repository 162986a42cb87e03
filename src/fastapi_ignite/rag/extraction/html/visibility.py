"""Tells which elements of a web page are hidden for good, and which the page unfolds when somebody clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastapi_ignite.rag.extraction.html.markup import Tag, attributes_of

_NEVER_HIDDEN: Final = frozenset({"html", "body", "main"})
_HIDING_STYLE: Final = re.compile(r"display\s*+:\s*+none|visibility\s*+:\s*+hidden", re.IGNORECASE)
_TARGETS: Final = ("data-target", "data-bs-target")


class Visibility:
    """Remembers which panels the controls of a page name. A panel that no control has named before is not shown."""

    def __init__(self) -> None:
        self._unfolded: set[str] = set()

    def hides(self, tag: Tag, below_question: Callable[[], bool]) -> bool:
        """Tell whether the element is never shown. Below a question, a hidden element is its answer."""
        source = tag.attributes
        # this stands first because it is asked of every tag; a regular expression would take most of the time of all
        if not (
            "hidden" in source or "isplay" in source or "HIDDEN" in source or "ISPLAY" in source or "aria-c" in source
            or "data-t" in source or "data-bs" in source
        ):  # fmt: skip
            return False
        attributes = attributes_of(tag)
        self._note_targets(attributes)
        if tag.name in _NEVER_HIDDEN:
            return False
        hidden = attributes.get("hidden", "until-found").lower() != "until-found"
        if not hidden and not _HIDING_STYLE.search(attributes.get("style", "")):
            return False
        return not (
            below_question()
            or attributes.get("id") in self._unfolded
            or attributes.get("role", "").lower() in {"tabpanel", "region"}
        )

    def _note_targets(self, attributes: dict[str, str]) -> None:
        self._unfolded.update(attributes.get("aria-controls", "").split())
        names = (*_TARGETS, "href") if "data-toggle" in attributes else _TARGETS
        self._unfolded.update(attributes[name].removeprefix("#") for name in names if name in attributes)
