"""Names the elements and attributes of OpenDocument files that their readers know."""

from __future__ import annotations

from typing import Final

_URN: Final = "{urn:oasis:names:tc:opendocument:xmlns:"
OFFICE: Final = f"{_URN}office:1.0}}"
TEXT: Final = f"{_URN}text:1.0}}"
TABLE: Final = f"{_URN}table:1.0}}"
DRAW: Final = f"{_URN}drawing:1.0}}"
STYLE: Final = f"{_URN}style:1.0}}"
PRESENTATION: Final = f"{_URN}presentation:1.0}}"
FORM: Final = f"{_URN}form:1.0}}"
SVG: Final = f"{_URN}svg-compatible:1.0}}"
EXTENSION: Final = "{urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0}"
DUBLIN_CORE: Final = "{http://purl.org/dc/elements/1.1/}"
META: Final = f"{_URN}meta:1.0}}"
FORMATTING: Final = f"{_URN}xsl-fo-compatible:1.0}}"
XLINK: Final = "{http://www.w3.org/1999/xlink}"
XML: Final = "{http://www.w3.org/XML/1998/namespace}"
MATH: Final = "{http://www.w3.org/1998/Math/MathML}"

PARAGRAPH: Final = f"{TEXT}p"
HEADING: Final = f"{TEXT}h"
LIST: Final = f"{TEXT}list"
TABLE_ELEMENT: Final = f"{TABLE}table"
ROW: Final = f"{TABLE}table-row"
CELL: Final = f"{TABLE}table-cell"
CELLS: Final = frozenset({CELL, f"{TABLE}covered-table-cell"})
ANNOTATION: Final = f"{OFFICE}annotation"
STYLE_NAME: Final = f"{TEXT}style-name"
COLUMNS_REPEATED: Final = f"{TABLE}number-columns-repeated"
ROWS_REPEATED: Final = f"{TABLE}number-rows-repeated"


def count_in(value: str | None, *, most: int, default: int = 1) -> int:
    """Return the whole number in an attribute, from 0 to `most`; `default` where there is none."""
    if value is None or not value.isascii() or not value.isdigit():
        return default
    return min(int(value[:12]), most)
