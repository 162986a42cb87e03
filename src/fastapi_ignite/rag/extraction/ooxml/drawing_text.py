"""Reads the text of DrawingML, the language in which slides, charts and shapes of all Office formats hold theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.parts import children, descendants, find, is_true, local_name

_NUMBER_OF_SLIDE: Final = "slidenum"


def chosen_children(element: etree._Element | None) -> Iterator[etree._Element]:
    """Yield the children of an element, and of alternatives the first: the others say the same for older programs."""
    for child in () if element is None else element:
        if local_name(child) == "AlternateContent":
            chosen = next(children(child, "Choice"), None)
            yield from chosen_children(find(child, "Fallback") if chosen is None else chosen)
        else:
            yield child


def paragraph_text(paragraph: etree._Element, slide_number: int | None = None) -> str:
    """Return the text of a paragraph, its line breaks as newlines.

    A field shows the text that the program stored last, except the number of a slide, which is known.
    """
    pieces: list[str] = []
    for child in chosen_children(paragraph):
        name = local_name(child)
        if name == "br":
            pieces.append("\n")
        elif name == "fld" and child.get("type") == _NUMBER_OF_SLIDE and slide_number is not None:
            pieces.append(str(slide_number))
        elif name in {"r", "fld"}:
            pieces.extend(text.text or "" for text in children(child, "t"))
        elif name not in {"pPr", "endParaRPr"}:
            pieces.append(formula_text(child))
    return "".join(pieces)


def paragraphs(element: etree._Element | None) -> Iterator[str]:
    """Yield the text of all paragraphs below an element."""
    yield from map(paragraph_text, descendants(element, "p"))


def formula_text(element: etree._Element) -> str:
    """Return a formula in one line: `(a+b)/2`, `x^2`, `√(x)`."""
    if local_name(element) == "t":
        return element.text or ""
    return _FORMS.get(local_name(element), _inside)(element)


def _fraction(element: etree._Element) -> str:
    return f"{_operand(element, 'num')}/{_operand(element, 'den')}"


def _root(element: etree._Element) -> str:
    return f"{_part(element, 'deg')}√({_part(element, 'e')})"


def _function(element: etree._Element) -> str:
    return f"{_part(element, 'fName')} {_part(element, 'e')}"


def _matrix(element: etree._Element) -> str:
    rows = [" ".join(map(_inside, children(row, "e"))) for row in children(element, "mr")]
    # the element around a formula on a slide is called like a matrix
    return f"[{'; '.join(rows)}]" if rows else _inside(element)


def _delimited(element: etree._Element) -> str:
    begin, end, separator = (_character(element, "dPr", key) for key in ("begChr", "endChr", "sepChr"))
    inner = ("|" if separator is None else separator).join(map(_inside, children(element, "e")))
    return f"{'(' if begin is None else begin}{inner}{')' if end is None else end}"


def _scripts(element: etree._Element) -> str:
    lower, upper = _operand(element, "sub"), _operand(element, "sup")
    scripts = f"{'_' if lower else ''}{lower}{'^' if upper else ''}{upper}"
    if local_name(element) == "nary":
        return f"{_character(element, 'naryPr', 'chr') or '∫'}{scripts} {_part(element, 'e')}"
    return f"{_operand(element, 'e')}{scripts}"


def _inside(element: etree._Element) -> str:
    return "".join(map(formula_text, chosen_children(element)))


def _part(element: etree._Element, name: str) -> str:
    return "".join(map(_inside, children(element, name)))


def _operand(element: etree._Element, name: str) -> str:
    text = _part(element, name)
    return text if len(text) < 2 or text.isalnum() else f"({text})"  # noqa: PLR2004  # one sign needs no parentheses


def _character(element: etree._Element, properties: str, name: str) -> str | None:
    found = find(element, properties, name)
    return None if found is None else next((text for key, text in found.attrib.items() if str(key).endswith("val")), "")


_FORMS: Final[dict[str, Callable[[etree._Element], str]]] = {
    "f": _fraction,
    "rad": _root,
    "func": _function,
    "m": _matrix,
    "d": _delimited,
    **dict.fromkeys(("sSup", "sSub", "sSubSup", "nary"), _scripts),
}


def table_rows(table: etree._Element) -> tuple[list[list[str]], int]:
    """Return the rows of a table, and how many of them are its header.

    A cell over several columns stands once; one over several rows is repeated, so that each row can be understood.
    """
    rows: list[list[str]] = []
    for row in children(table, "tr"):
        cells = list(children(row, "tc"))
        texts = ["\n".join(paragraphs(find(cell, "txBody"))) for cell in cells]
        for column, cell in enumerate(cells):
            if is_true(cell.get("hMerge")):
                texts[column] = ""
            elif is_true(cell.get("vMerge")) and rows and column < len(rows[-1]):
                texts[column] = rows[-1][column]
        rows.append(texts)
    properties: Mapping[str, str] = getattr(find(table, "tblPr"), "attrib", {})
    return rows, int(is_true(properties.get("firstRow")) and len(rows) > 1)
