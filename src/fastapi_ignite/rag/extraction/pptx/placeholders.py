"""Finds the bullet of a paragraph on a slide, which it mostly inherits from the layout or the master of the slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.parts import OfficeParts, children, find, local_name

_BULLETS: Final = frozenset({"buNone", "buChar", "buAutoNum", "buBlip"})
_TITLES: Final = frozenset({"title", "ctrTitle"})
_FURNITURE: Final = frozenset({"dt", "ftr", "hdr", "sldNum", "sldImg"})
# what a placeholder of a slide may be called on the master
_ON_MASTER: Final = {"ctrTitle": "title", "subTitle": "body", "obj": "body"}
_DEEPEST_LEVEL: Final = 8


def placeholder_type(shape: etree._Element) -> str | None:
    """Return the type of the placeholder that a shape fills, `obj` where it says none; None for other shapes."""
    found = _placeholder(shape)
    return None if found is None else found.get("type", "obj")


def list_level(paragraph: etree._Element) -> int:
    """Return how deep a paragraph is indented, 0 for not at all."""
    properties = find(paragraph, "pPr")
    level = "" if properties is None else properties.get("lvl", "")
    return min(int(level), _DEEPEST_LEVEL) if level.isdecimal() and len(level) < 3 else 0  # noqa: PLR2004  # digits


@dataclass(slots=True)
class _Styles:
    """The list styles of a layout or master, by the index and by the type of their placeholders."""

    by_index: dict[str, etree._Element] = field(default_factory=dict)
    by_type: dict[str, etree._Element] = field(default_factory=dict)
    texts: etree._Element | None = None
    parent: str | None = None


def bullet(paragraph: etree._Element, list_styles: Sequence[etree._Element]) -> etree._Element | None:
    """Return the element of the bullet or number that stands before a paragraph of a shape with these styles, or None.

    The properties of the paragraph itself come first.
    """
    level = f"lvl{list_level(paragraph) + 1}pPr"
    for properties in (find(paragraph, "pPr"), *(find(style, level) for style in list_styles)):
        for child in () if properties is None else properties:
            if local_name(child) in _BULLETS:
                return None if local_name(child) == "buNone" else child
    return None


class Placeholders:
    """Knows the layouts and masters of a presentation. Each is read once."""

    def __init__(self, parts: OfficeParts) -> None:
        self._parts = parts
        self._known: dict[str, _Styles] = {}

    def list_styles(self, layout: str | None, shape: etree._Element) -> Sequence[etree._Element]:
        """Return the list styles of a shape, its own first, then those that it inherits."""
        return [style for style in self._inherited(layout, shape) if style is not None]

    def _inherited(self, layout: str | None, shape: etree._Element) -> Iterator[etree._Element | None]:
        yield find(shape, "txBody", "lstStyle")
        placeholder = _placeholder(shape)
        if placeholder is None or layout is None:
            return
        kind, index = placeholder.get("type", "obj"), placeholder.get("idx", "")
        on_layout = self._styles(layout)
        yield on_layout.by_index.get(index, on_layout.by_type.get(kind))
        if on_layout.parent is not None:
            on_master = self._styles(on_layout.parent)
            yield on_master.by_type.get(_ON_MASTER.get(kind, kind))
            style = "titleStyle" if kind in _TITLES else "otherStyle" if kind in _FURNITURE else "bodyStyle"
            yield find(on_master.texts, style)

    def _styles(self, name: str) -> _Styles:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> _Styles:
        root = self._parts.xml(name)
        styles = _Styles(texts=find(root, "txStyles"))
        styles.parent = next(self._parts.related(name, "slideMaster"), None)
        for shape in children(find(root, "cSld", "spTree"), "sp"):
            placeholder, style = _placeholder(shape), find(shape, "txBody", "lstStyle")
            if placeholder is not None and style is not None:
                styles.by_type.setdefault(placeholder.get("type", "obj"), style)
                if "idx" in placeholder.attrib:
                    styles.by_index.setdefault(placeholder.get("idx", ""), style)
        return styles


def _placeholder(shape: etree._Element) -> etree._Element | None:
    return next((found for found in map(_named, shape) if found is not None), None)


def _named(properties: etree._Element) -> etree._Element | None:
    """Return the placeholder in the non-visual properties of a shape: `nvSpPr`, `nvPicPr`, `nvGraphicFramePr`."""
    return find(properties, "nvPr", "ph") if local_name(properties).startswith("nv") else None
