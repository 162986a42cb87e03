"""Writes a formula in MathML on one line, as one would type it: `E = mc^2`, `(a+b)/2`, `√(x)`."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from lxml import etree

_BETWEEN: Final = {
    "mfrac": ("/",),
    "msup": ("^",),
    "msub": ("_",),
    "munder": ("_",),
    "mover": ("^",),
    "msubsup": ("_", "^"),
    "munderover": ("_", "^"),
}
# what stands before, between and after the parts
_AROUND: Final = {
    "msqrt": ("√(", "", ")"),
    "mfenced": ("(", ", ", ")"),
    "mtable": ("", "; ", ""),
    "mtr": ("", ", ", ""),
    "mspace": (" ", "", ""),
}
_SPACED: Final = frozenset("=<>≤≥≠≈→")
_UNREAD: Final = frozenset({"annotation", "annotation-xml", "mphantom", "none"})


def formula_text(element: etree._Element) -> str:
    return " ".join(_written(element).split())


def _written(element: etree._Element) -> str:
    name = etree.QName(element).localname if isinstance(element.tag, str) else "none"
    if name in _UNREAD:
        return ""
    parts = [_written(child) for child in element]
    if name in _BETWEEN:
        signs = ("", *_BETWEEN[name])
        present = [part for part in parts if part]
        return "".join(
            sign + _grouped(part) for sign, part in zip_longest(signs[: len(present)], present, fillvalue=" ")
        )
    if name in _AROUND:
        before, between, after = _AROUND[name]
        return before + between.join(parts) + after
    if name == "mroot":
        return "√".join(f"({part})" if place == 0 else part for place, part in reversed(list(enumerate(parts))))
    own = (element.text or "").strip()
    return f" {own} " if own in _SPACED else own + "".join(parts)


def _grouped(part: str) -> str:
    whole = part.strip()
    return whole if len(whole) == 1 or whole.isalnum() or (whole[:1], whole[-1:]) == ("(", ")") else f"({whole})"
