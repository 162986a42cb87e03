"""Names the elements and attributes of WordprocessingML that the reader knows."""

from __future__ import annotations

from typing import Final

from lxml import etree

_MAIN: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MATH: Final = "http://schemas.openxmlformats.org/officeDocument/2006/math"
_COMPATIBILITY: Final = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_DRAWING: Final = "http://schemas.openxmlformats.org/drawingml/2006"

OFF: Final = frozenset({"0", "false", "off"})


def w(name: str) -> str:
    return f"{{{_MAIN}}}{name}"


def r(name: str) -> str:
    return f"{{{_RELATIONSHIPS}}}{name}"


def m(name: str) -> str:
    return f"{{{_MATH}}}{name}"


def mc(name: str) -> str:
    return f"{{{_COMPATIBILITY}}}{name}"


def drawing(part: str, name: str) -> str:
    return f"{{{_DRAWING}/{part}}}{name}"


def child(element: etree._Element | None, name: str) -> etree._Element | None:
    """Return the first child of this name, like `find` and several times as fast."""
    return None if element is None else next(element.iterchildren(name), None)


def child_value(element: etree._Element | None, name: str) -> str | None:
    """Return `w:val` of the first child of this name."""
    found = child(element, name)
    return None if found is None else found.get(VAL)


VAL: Final = w("val")
P: Final = w("p")
R: Final = w("r")
T: Final = w("t")
P_PR: Final = w("pPr")
R_PR: Final = w("rPr")
TABLE: Final = w("tbl")
ALTERNATE_CONTENT: Final = mc("AlternateContent")
O_MATH: Final = m("oMath")
O_MATH_PARAGRAPH: Final = m("oMathPara")
TEXT_BOX_CONTENT: Final = w("txbxContent")
# The second came with Office 2016, for waterfalls, treemaps and the like.
CHARTS: Final = frozenset(
    {drawing("chart", "chart"), "{http://schemas.microsoft.com/office/drawing/2014/chartex}chart"},
)
DIAGRAM: Final = drawing("diagram", "relIds")
DRAWING_PARAGRAPH: Final = drawing("main", "p")

# Text that was deleted or moved away, readings of words (ruby), and properties: nothing in them is kept.
HIDDEN: Final = frozenset(
    map(
        w,
        (
            *("del", "moveFrom", "delText", "delInstrText", "rt", "sectPr", "sdtPr", "sdtEndPr", "smartTagPr"),
            *("customXmlPr", "rubyPr", "pPr", "rPr", "tblPr", "tblPrEx", "tblGrid", "trPr", "tcPr"),
            *("bookmarkStart", "bookmarkEnd", "proofErr", "permStart", "permEnd", "ffData", "fldData"),
        ),
    )
)
