"""Understands attributes and characters of a worksheet as they stand in the file, without an XML parser."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.ooxml.parts import is_true
from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind, CellValues

FORMULA: Final = r"(?:<f[^<>]*>(?:(?<=/>)|[^<]*</f>))?"
_PLAIN_ATTRIBUTES: Final = re.compile(r'(?: [a-z]+="[^"&]*")*/?')
_ATTRIBUTE: Final = re.compile(r'([A-Za-z:]+)="([^"]*)"')
_ENTITIES: Final = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY: Final = re.compile(r"&(?:[a-z]+;)?")


class NotPlainError(Exception):
    """The sheet is written in a way that only an XML parser reads right."""


class KindByAttributes(dict[str, CellKind]):
    """The kinds of cells by their attributes as they stand in the file, such as ` s="3" t="s"`.

    A lookup raises `NotPlainError` for attributes that only an XML parser reads right.
    """

    def __init__(self, values: CellValues) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, attributes: str) -> CellKind:
        if not _PLAIN_ATTRIBUTES.fullmatch(attributes):
            raise NotPlainError
        given = dict(_ATTRIBUTE.findall(attributes))
        kind = self[attributes] = self._values.kind(given.get("t", "n"), given.get("s", "0"))
        return kind


def hides(attributes: str) -> bool:
    """Tell whether the attributes of a row hide it."""
    return "hidden" in attributes and is_true(dict(_ATTRIBUTE.findall(attributes)).get("hidden"))


def without_entities(text: str) -> str:
    """Return a text with its characters in place of their entities.

    Raises:
        NotPlainError: it has a character by its number, or is damaged.
    """
    try:
        return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text) if "&" in text else text
    except KeyError:
        raise NotPlainError from None
