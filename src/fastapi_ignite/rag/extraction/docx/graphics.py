"""Reads what charts and diagrams (SmartArt) in a Word file show: their words, and the values of a chart as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.docx.blocks import Block, Paragraph, Table
from fastapi_ignite.rag.extraction.docx.names import drawing
from fastapi_ignite.rag.extraction.docx.styles import small_number

_PARAGRAPH: Final = drawing("main", "p")
_TEXT: Final = drawing("main", "t")
_SERIES: Final = drawing("chart", "ser")
_POINT: Final = drawing("chart", "pt")
_VALUE: Final = drawing("chart", "v")
_MOST_POINTS: Final = 10_000


def graphic_blocks(root: etree._Element) -> Iterator[Block]:
    """Yield the words of a chart part, or of the data part of a diagram."""
    for paragraph in root.iter(_PARAGRAPH):
        yield Paragraph("".join(paragraph.itertext(_TEXT)))
    rows = list(_rows(root))
    if rows:
        yield Table(rows, header_rows=1)


def _rows(root: etree._Element) -> Iterator[list[str]]:
    """Yield the categories of a chart as rows, its series as columns."""
    series = [
        (
            _points(each, "tx"),
            _points(each, "cat") or _points(each, "xVal"),
            _points(each, "val") or _points(each, "yVal"),
        )
        for each in root.iter(_SERIES)
    ]
    if not series:
        return
    yield ["", *(name.get(0, "") for name, _, _ in series)]
    numbers = sorted({number for _, _, values in series for number in values})
    for number in numbers[: _MOST_POINTS // len(series)]:
        category = next((names[number] for _, names, _ in series if number in names), "")
        yield [category, *(values.get(number, "") for _, _, values in series)]


def _points(series: etree._Element, name: str) -> dict[int, str]:
    part = series.find(drawing("chart", name))
    if part is None:
        return {}
    found = {small_number(point.get("idx"), 0): "".join(point.itertext(_VALUE)) for point in part.iter(_POINT)}
    if not found and (value := part.findtext(_VALUE)):
        found[0] = value
    return found
