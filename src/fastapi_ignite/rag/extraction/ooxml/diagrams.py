"""Reads diagrams (SmartArt): the texts of their points, in the order and on the level in which they hang together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.drawing_text import paragraphs
from fastapi_ignite.rag.extraction.ooxml.parts import children, find


def diagram_texts(root: etree._Element) -> Iterator[tuple[str, int]]:
    """Yield each text of a diagram's data part with its level, 0 for the highest."""
    texts = {
        point.get("modelId", ""): " ".join(filter(None, paragraphs(find(point, "t"))))
        for point in children(find(root, "ptLst"), "pt")
    }
    below: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for connection in children(find(root, "cxnLst"), "cxn"):
        if connection.get("type", "parOf") == "parOf":
            order = connection.get("srcOrd", "0")
            place = int(order) if order.isdecimal() and len(order) < 10 else 0  # noqa: PLR2004  # no honest place
            below[connection.get("srcId", "")].append((place, connection.get("destId", "")))
    has_parent = {child for links in below.values() for _, child in links}
    seen: set[str] = set()
    for start in (*(name for name in texts if name not in has_parent), *texts):
        yield from _from(start, texts, below, seen)


def _from(
    start: str, texts: dict[str, str], below: dict[str, list[tuple[int, str]]], seen: set[str]
) -> Iterator[tuple[str, int]]:
    """Walk down from a point. Each point is taken once, as the links of a damaged file may run in circles."""
    waiting = [(start, 0)]
    while waiting:
        name, level = waiting.pop()
        if name in seen or name not in texts:
            continue
        seen.add(name)
        if texts[name]:
            yield texts[name], level
        deeper = level + 1 if texts[name] else level
        waiting.extend((child, deeper) for _, child in sorted(below[name], reverse=True))
