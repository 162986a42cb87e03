"""Recognises the text on pages that are pictures (OCR), with RapidOCR, which is an extra: requirements-ocr.txt.

Its models come with it, nothing is downloaded. They read Latin, Chinese and Japanese script. `is_installed` costs
nothing; only a process that recognises pages calls `load`, and it does so before it is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from fastapi_ignite.rag.extraction.bidirectional import PlacedText

# The longer side in pixels: of the picture, and of its reduced copy that is searched for lines.
LONGER_SIDE: Final = 2000
_SEARCHED: Final = 960
# Lines on both sides of the middle are columns of running text if there are so many, and fill so much of their column.
_COLUMN_LINES: Final = 4
_COLUMN_FILL: Final = 0.6


def is_installed() -> bool:
    return find_spec("rapidocr") is not None


@cache
def load() -> Any:
    """Load the models and return the recogniser, ready to work without opening a file."""
    import cv2  # noqa: PLC0415  an extra
    import numpy as np  # noqa: PLC0415  80 ms that only recognition needs
    from rapidocr import RapidOCR  # noqa: PLC0415  an extra

    cv2.setNumThreads(1)
    recogniser = RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.log_level": "critical",
            "Global.max_side_len": LONGER_SIDE,
            "Det.limit_side_len": _SEARCHED,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    sample = np.full((80, 400, 3), 255, np.uint8)
    cv2.putText(sample, "sample", (10, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
    recogniser(sample)  # each model is loaded when it is first used
    return recogniser


def is_loaded() -> bool:
    return load.cache_info().currsize > 0


def text_in(picture: Any) -> str:
    """Return the text that a picture (an array of height, width and 3 colours) shows, in lines in reading order."""
    found = load()(picture)
    corners = found.boxes.tolist() if found.boxes is not None else []
    boxes = [
        PlacedText(
            text,
            left=min(x for x, _ in points),
            bottom=-max(y for _, y in points),
            right=max(x for x, _ in points),
            top=-min(y for _, y in points),
        )
        for text, points in zip(found.txts or (), corners, strict=True)
    ]
    return "\n".join(lines_of(boxes))


def lines_of(boxes: Sequence[PlacedText]) -> Iterator[str]:
    """Yield the lines that the boxes make. Boxes side by side are one line, unless they are columns of running text."""
    if not boxes:
        return
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    band: list[PlacedText] = []  # boxes of rows that leave the middle of the page free
    for row in _rows(boxes):
        if any(box.left < (left + right) / 2 < box.right for box in row):
            yield from _lines_of_band(band, left, right)
            band = []
            yield _line(row)
        else:
            band += row
    yield from _lines_of_band(band, left, right)


def _lines_of_band(band: Sequence[PlacedText], left: float, right: float) -> Iterator[str]:
    middle = (left + right) / 2
    parts = [box for box in band if box.right <= middle], [box for box in band if box.right > middle]
    are_columns = all(_is_running_text(part, middle - left) for part in parts)
    for part in parts if are_columns else (band,):
        yield from map(_line, _rows(part))


def _is_running_text(boxes: Sequence[PlacedText], width: float) -> bool:
    """Return True for lines that fill a column of this width, as the cells of a table do not."""
    if len(boxes) < _COLUMN_LINES:
        return False
    from statistics import median  # noqa: PLC0415  10 ms that no other file needs

    return median(box.right - box.left for box in boxes) >= _COLUMN_FILL * width


def _rows(boxes: Sequence[PlacedText]) -> list[list[PlacedText]]:
    rows: list[list[PlacedText]] = []
    for box in sorted(boxes, key=lambda box: -(box.top + box.bottom)):
        if rows and _is_beside(box, rows[-1][0]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return rows


def _line(row: Sequence[PlacedText]) -> str:
    return " ".join(box.text.strip() for box in sorted(row, key=lambda box: box.left))


def _is_beside(box: PlacedText, other: PlacedText) -> bool:
    common = min(box.top, other.top) - max(box.bottom, other.bottom)
    return 2 * common > min(box.top - box.bottom, other.top - other.bottom)
