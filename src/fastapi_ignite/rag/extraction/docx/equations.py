"""Writes an equation of Office (OMML) as one line of readable text: `(a+b)/2`, `x^2`, `√(x)`, `∑_(i=1)^n x_i`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.docx.names import ALTERNATE_CONTENT, HIDDEN, OFF, T, m, mc, w

_VAL: Final = m("val")
_FUNCTION: Final = m("func")
_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_BRACKETS: Final = frozenset({"()", "[]", "{}", "||", "⟨⟩"})
_ARROWS: Final = frozenset("←→↔⇐⇒⇔⇌⇄↦")
_PROPERTIES: Final = frozenset(
    m(f"{name}Pr")
    for name in (
        *("acc", "bar", "borderBox", "box", "ctrl", "d", "eqArr", "f", "func", "groupChr", "lim", "limLow", "limUpp"),
        *("m", "nary", "oMathPara", "phant", "r", "rad", "sPre", "sSub", "sSubSup", "sSup", "arg"),
    )
)


def equation_text(element: etree._Element) -> str:
    """Return the text of `m:oMath`, or of any part of one."""
    text = ""
    for child in element:
        tag = child.tag
        if tag in HIDDEN or tag in _PROPERTIES:
            continue
        write = _WRITERS.get(tag)
        if write is not None:
            piece = write(child)
        elif tag == ALTERNATE_CONTENT:
            choice = next(child.iterchildren(mc("Choice")), child)
            piece = equation_text(choice)
        else:
            piece = equation_text(child)
        # `a cos x`, not `acos x`, which is another function
        text += f" {piece}" if tag == _FUNCTION and text[-1:].isalnum() else piece
    return text


def _literal(element: etree._Element) -> str:
    return element.text or ""


def _part(element: etree._Element, name: str) -> str:
    part = element.find(m(name))
    return "" if part is None else equation_text(part)


def _grouped(text: str) -> str:
    """Put parentheses around what is more than one number, name or bracket."""
    if len(text) <= 1 or text.isalnum() or text.replace(".", "", 1).replace(",", "", 1).isdigit():
        return text
    if text[0] + text[-1] in _BRACKETS and text[0] not in text[1:-1] and text[-1] not in text[1:-1]:
        return text
    return f"({text})"


def _property(element: etree._Element, properties: str, name: str) -> str | None:
    found = element.find(f"{m(properties)}/{m(name)}")
    return None if found is None else found.get(_VAL, "")


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
    inside = ("|" if separator is None else separator).join(
        equation_text(each) for each in element.iterchildren(m("e"))
    )
    return f"{'(' if begin is None else begin}{inside}{')' if end is None else end}"


def _function(element: etree._Element) -> str:
    argument = _part(element, "e")
    return _part(element, "fName") + ("" if argument.startswith(("(", "[", "{")) else " ") + argument


def _limit(element: etree._Element) -> str:
    sign = "_" if element.tag == m("limLow") else "^"
    return f"{_part(element, 'e')}{sign}{_grouped(_part(element, 'lim'))}"


def _accented(element: etree._Element) -> str:
    accent = _property(element, "accPr", "chr")
    return _part(element, "e") + ("\u0302" if accent is None else accent)


def _barred(element: etree._Element) -> str:
    return _part(element, "e") + "\u0305"


def _matrix(element: etree._Element) -> str:
    rows = (
        ", ".join(equation_text(cell) for cell in row.iterchildren(m("e"))) for row in element.iterchildren(m("mr"))
    )
    return f"[{'; '.join(rows)}]"


def _array(element: etree._Element) -> str:
    # an ampersand aligns the lines and is not shown
    return "; ".join(equation_text(row).replace("&", "") for row in element.iterchildren(m("e")))


def _grouping(element: etree._Element) -> str:
    """Write an arrow with what stands on it, as in chemistry; a brace above or below adds nothing."""
    sign, text = _property(element, "groupChrPr", "chr") or "", _part(element, "e")
    return f"{sign}({text})" if sign in _ARROWS and text else text or sign


def _phantom(element: etree._Element) -> str:
    """Write what takes its place, and is not to be seen if `m:show` says so."""
    return "" if _property(element, "phantPr", "show") in OFF else _part(element, "e")


_WRITERS: Final[dict[object, Callable[[etree._Element], str]]] = {
    m("t"): _literal,
    T: _literal,
    w("br"): lambda _: " ",
    w("tab"): lambda _: " ",
    m("f"): _fraction,
    m("sSup"): _scripted,
    m("sSub"): _scripted,
    m("sSubSup"): _scripted,
    m("sPre"): _scripted_before,
    m("rad"): _root,
    m("nary"): _operator,
    m("d"): _delimited,
    _FUNCTION: _function,
    m("limLow"): _limit,
    m("limUpp"): _limit,
    m("acc"): _accented,
    m("bar"): _barred,
    m("m"): _matrix,
    m("eqArr"): _array,
    m("groupChr"): _grouping,
    m("phant"): _phantom,
}
