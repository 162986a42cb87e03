"""Writes an equation of Office (OMML) as one line of readable text: `(a+b)/2`, `x^2`, `√(x)`, `∑_(i=1)^n x_i`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.parts import children, chosen_children, find, local_name

_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_BRACKETS: Final = frozenset({"()", "[]", "{}", "||", "⟨⟩"})
# All elements with properties end in this.
_PROPERTIES: Final = "Pr"
_DELETED: Final = frozenset({"del", "moveFrom", "delText", "delInstrText"})


def equation_text(element: etree._Element) -> str:
    """Return the text of `m:oMath`, or of any part of one."""
    text = ""
    for child in chosen_children(element):
        name = local_name(child)
        if name in _DELETED or name.endswith(_PROPERTIES):
            continue
        piece = _WRITERS.get(name, equation_text)(child)
        # `a cos x`, not `acos x`, which is another function
        text += f" {piece}" if name == "func" and text[-1:].isalnum() else piece
    return text


def _literal(element: etree._Element) -> str:
    return element.text or ""


def _part(element: etree._Element, name: str) -> str:
    part = find(element, name)
    return "" if part is None else equation_text(part)


def _grouped(text: str) -> str:
    """Put parentheses around what is more than one number, name or bracket."""
    if len(text) <= 1 or text.isalnum() or text.replace(".", "", 1).replace(",", "", 1).isdigit():
        return text
    if text[0] + text[-1] in _BRACKETS and text[0] not in text[1:-1] and text[-1] not in text[1:-1]:
        return text
    return f"({text})"


def _property(element: etree._Element, properties: str, name: str) -> str | None:
    found = find(element, properties, name)
    if found is None:
        return None
    return next((str(value) for key, value in found.attrib.items() if etree.QName(key).localname == "val"), "")


def _fraction(element: etree._Element) -> str:
    above, below = _grouped(_part(element, "num")), _grouped(_part(element, "den"))
    if _property(element, "fPr", "type") == "noBar":  # one above the other, as in a binomial
        return f"{above} {below}"
    return f"{above}/{below}"


def _scripts(element: etree._Element) -> str:
    below, above = _grouped(_part(element, "sub")), _grouped(_part(element, "sup"))
    return (f"_{below}" if below else "") + (f"^{above}" if above else "")


def _scripted(element: etree._Element) -> str:
    return _grouped(_part(element, "e")) + _scripts(element)


def _scripted_before(element: etree._Element) -> str:
    return _scripts(element) + _grouped(_part(element, "e"))


def _root(element: etree._Element) -> str:
    degree = _part(element, "deg")
    return _ROOTS.get(degree, f"{_grouped(degree)}√") + f"({_part(element, 'e')})"


def _operator(element: etree._Element) -> str:
    sign = _property(element, "naryPr", "chr")
    return ("∫" if sign is None else sign) + f"{_scripts(element)} {_part(element, 'e')}"


def _delimited(element: etree._Element) -> str:
    begin, separator, end = (_property(element, "dPr", name) for name in ("begChr", "sepChr", "endChr"))
    inside = ("|" if separator is None else separator).join(equation_text(each) for each in children(element, "e"))
    return f"{'(' if begin is None else begin}{inside}{')' if end is None else end}"


def _function(element: etree._Element) -> str:
    argument = _part(element, "e")
    return _part(element, "fName") + ("" if argument.startswith(("(", "[", "{")) else " ") + argument


def _limit(element: etree._Element) -> str:
    sign = "_" if local_name(element) == "limLow" else "^"
    return f"{_part(element, 'e')}{sign}{_grouped(_part(element, 'lim'))}"


def _accented(element: etree._Element) -> str:
    accent = _property(element, "accPr", "chr")
    return _part(element, "e") + ("\u0302" if accent is None else accent)


def _barred(element: etree._Element) -> str:
    return _part(element, "e") + "\u0305"


def _matrix(element: etree._Element) -> str:
    rows = (", ".join(equation_text(cell) for cell in children(row, "e")) for row in children(element, "mr"))
    return f"[{'; '.join(rows)}]"


def _array(element: etree._Element) -> str:
    return "; ".join(equation_text(row) for row in children(element, "e"))


_WRITERS: Final[dict[str, Callable[[etree._Element], str]]] = {
    "t": _literal,
    "br": lambda _: " ",
    "tab": lambda _: " ",
    "f": _fraction,
    "sSup": _scripted,
    "sSub": _scripted,
    "sSubSup": _scripted,
    "sPre": _scripted_before,
    "rad": _root,
    "nary": _operator,
    "d": _delimited,
    "func": _function,
    "limLow": _limit,
    "limUpp": _limit,
    "acc": _accented,
    "bar": _barred,
    "m": _matrix,
    "eqArr": _array,
}
