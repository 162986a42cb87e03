"""Reads the text of DrawingML, the language in which slides, charts and shapes of all Office formats hold theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.ooxml.equations import equation_text
from fastapi_ignite.rag.extraction.ooxml.parts import children, chosen_children, descendants, find, is_true, local_name

_NUMBER_OF_SLIDE: Final = "slidenum"


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
            pieces.append(equation_text(child))
    return "".join(pieces)


def paragraphs(element: etree._Element | None) -> Iterator[str]:
    """Yield the text of all paragraphs below an element."""
    yield from map(paragraph_text, descendants(element, "p"))


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
