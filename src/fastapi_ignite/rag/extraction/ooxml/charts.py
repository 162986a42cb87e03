"""Reads charts: their titles as paragraphs, and the values that they show as a table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.drawing_text import paragraphs
from fastapi_ignite.rag.extraction.ooxml.number_formats import general_text, number_format
from fastapi_ignite.rag.extraction.ooxml.parts import OfficeParts, children, descendants, find, local_name
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

# Series that share their categories stand in one table unless most of its cells could be empty.
_MOST_CELLS: Final = 100_000
_POINTS: Final = ("strCache", "numCache", "multiLvlStrCache", "strLit", "numLit")
Points = dict[int, str]


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    categories: Points
    values: list[Points]


def add_chart(builder: TextBuilder, parts: OfficeParts, name: str) -> None:
    """Add the text of a chart part. A part that is missing has none."""
    for found in chart_content(parts, name):
        if isinstance(found, str):
            builder.paragraph(found)
        else:
            builder.table(found, header_rows=1)


def chart_content(parts: OfficeParts, name: str) -> Iterator[str | list[list[str]]]:
    """Yield the paragraphs of a chart part, and its tables, whose first rows are headers."""
    root = parts.xml(name)
    if root is None:
        return
    titles = list(descendants(root, "title"))
    for title in titles:
        yield from paragraphs(title) if find(title, "tx", "strRef") is None else _title_of_cell(title)
    is_extended = "chartex" in str(root.tag)
    for group in _groups(list(_extended_series(root) if is_extended else map(_series, descendants(root, "ser")))):
        yield list(_table(group))
    for label in descendants(root, "rich"):
        if next(label.iterancestors("{*}title"), None) is None:
            yield from paragraphs(label)
    for drawing in parts.related(name, "chartUserShapes"):
        yield from paragraphs(parts.xml(drawing))


def _title_of_cell(title: etree._Element) -> Iterator[str]:
    yield from _points(find(title, "tx")).values()


def _series(element: etree._Element) -> _Series:
    categories = next(children(element, "cat", "xVal"), None)
    values = [_points(values) for values in children(element, "val", "yVal", "bubbleSize")]
    name = find(element, "tx")
    direct = find(name, "v")
    title = (direct.text or "") if direct is not None else " ".join(_points(name).values())
    return _Series(title, _points(categories), values)


def _points(element: etree._Element | None) -> Points:
    """Return the texts by the number of their point. Categories of several levels are joined, the outer one first."""
    points: Points = {}
    cache = next(
        (found for found in (element.iter("{*}*") if element is not None else ()) if local_name(found) in _POINTS), None
    )
    if cache is None:
        return points
    levels = list(children(cache, "lvl"))
    if levels:
        inner = _texts(levels[0], "General")
        outer = [sorted(_texts(level, "General").items()) for level in levels[1:]]
        for number, text in inner.items():
            above = [_last_before(level, number) for level in reversed(outer)]
            points[number] = " ".join(filter(None, [*above, text]))
        return points
    code = find(cache, "formatCode")
    return _texts(cache, (code.text or "General") if code is not None else "General")


def _last_before(level: Sequence[tuple[int, str]], number: int) -> str:
    place = bisect_right([start for start, _ in level], number)
    return level[place - 1][1] if place else ""


def _texts(cache: etree._Element, code: str) -> Points:
    points: Points = {}
    is_number = local_name(cache) in {"numCache", "numLit"}
    for place, point in enumerate(children(cache, "pt")):
        index = point.get("idx", "")
        value = find(point, "v")
        text = (point.text if value is None else value.text) or ""
        points[int(index) if index.isdecimal() and len(index) < 10 else place] = (  # noqa: PLR2004  # no honest index
            _shown(text, point.get("formatCode", code)) if is_number else text
        )
    return points


def _shown(value: str, code: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return number_format(code).number(number) if code else general_text(number)


def _groups(series: list[_Series]) -> Iterator[list[_Series]]:
    """Yield the series that share their categories together."""
    groups: list[list[_Series]] = []
    for one in series:
        if groups and groups[-1][0].categories == one.categories:
            groups[-1].append(one)
        else:
            groups.append([one])
    for group in groups:
        width = sum(len(one.values) for one in group)
        if width * len(_numbers(group)) > _MOST_CELLS:
            yield from ([one] for one in group)
        else:
            yield group


def _numbers(group: Sequence[_Series]) -> list[int]:
    return sorted({number for one in group for points in (one.categories, *one.values) for number in points})


def _table(group: Sequence[_Series]) -> Iterator[list[str]]:
    yield ["", *(one.name for one in group for _ in one.values)]
    for number in _numbers(group):
        values = (points.get(number, "") for one in group for points in one.values)
        yield [group[0].categories.get(number, ""), *values]


def _extended_series(root: etree._Element) -> Iterator[_Series]:
    """Yield the series of the chart types that came with Office 2016, such as waterfalls and treemaps."""
    names = {
        data.get("val", ""): " ".join(text.text or "" for text in descendants(find(series, "tx"), "v"))
        for series in descendants(root, "series")
        for data in children(series, "dataId")
    }
    for data in descendants(root, "data"):
        categories: Points = {}
        for level in (level for dimension in children(data, "strDim") for level in children(dimension, "lvl")):
            for number, text in _texts(level, "").items():
                categories[number] = f"{text} {categories[number]}" if number in categories else text
        values = [
            {number: _shown(text, level.get("formatCode", "")) for number, text in _texts(level, "").items()}
            for dimension in children(data, "numDim")
            for level in children(dimension, "lvl")
        ]
        yield _Series(names.get(data.get("id", ""), ""), categories, values or [{}])
