"""Looks up what the styles of an OpenDocument file say about its text: what is hidden or code, how it is numbered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.odf.names import FORMATTING, OFFICE, PRESENTATION, STYLE, SVG, TABLE, TEXT
from fastapi_ignite.rag.extraction.odf.numbering import ListStyle, list_style

_CONTAINERS: Final = frozenset({f"{OFFICE}styles", f"{OFFICE}automatic-styles"})
_LIST_STYLES: Final = frozenset({f"{TEXT}list-style", f"{TEXT}outline-style"})
_OUTLINE: Final = f"{TEXT}outline-style"
_DEEPEST_CHAIN: Final = 40
_FAMILY_OF_TEXT: Final = "text"
_FAMILY_OF_PARAGRAPHS: Final = "paragraph"
_FONT_FACE: Final = f"{STYLE}font-face"


class Styles:
    """The styles of one or two files. Of two styles of one name the one that was added last counts."""

    def __init__(self) -> None:
        self.outline = ListStyle()
        self._styles: dict[tuple[str, str], etree._Element] = {}
        self._lists: dict[str, ListStyle] = {}
        self._fonts: dict[str, str] = {}
        self._hidden: dict[tuple[str, str], bool] = {}
        self._bases: dict[str, frozenset[str]] = {}

    def add(self, root: etree._Element, *, automatic: bool = True) -> None:
        """Add the styles of a file; without `automatic` those alone that its other files may use."""
        for container in root:
            if container.tag == f"{OFFICE}font-face-decls":
                self._fonts |= {
                    face.get(f"{STYLE}name", ""): face.get(f"{SVG}font-family", "")
                    for face in container.iter(_FONT_FACE)
                }
            elif container.tag in _CONTAINERS and (automatic or container.tag == f"{OFFICE}styles"):
                self.add_container(container)

    def is_hidden(self, family: str, name: str | None) -> bool:
        """Tell whether text of this style is never shown."""
        if name is None:
            return False
        key = (family, name)
        if key not in self._hidden:
            display = self._property(family, name, "text-properties", f"{TEXT}display")
            self._hidden[key] = display == "none"
        return self._hidden[key]

    def is_hidden_slide(self, name: str | None) -> bool:
        return self._property("drawing-page", name, "drawing-page-properties", f"{PRESENTATION}visibility") == "hidden"

    def shows_footer(self, slide_style: str | None, kind: str) -> bool:
        """Tell whether a slide shows the `header`, `footer` or `date-time` of its master."""
        shown = self._property("drawing-page", slide_style, "drawing-page-properties", f"{PRESENTATION}display-{kind}")
        return shown != "false"

    def is_hidden_table(self, name: str | None) -> bool:
        return self._property("table", name, "table-properties", f"{TABLE}display") == "false"

    def font(self, family: str, name: str | None) -> str:
        for attribute in (
            f"{STYLE}font-name",
            f"{FORMATTING}font-family",
        ):
            found = self._property(family, name, "text-properties", attribute)
            if found:
                return self._fonts.get(found, found).strip("'\"")
        return ""

    def bases(self, name: str | None) -> frozenset[str]:
        """Return the names of a paragraph's style and of all that it is based on."""
        if name is None:
            return frozenset()
        if name not in self._bases:
            chain = [style.get(f"{STYLE}parent-style-name", "") for style in self._chain(_FAMILY_OF_PARAGRAPHS, name)]
            self._bases[name] = frozenset({name, *chain})
        return self._bases[name]

    def list_style(self, name: str | None) -> ListStyle | None:
        return self._lists.get(name) if name else None

    def list_style_of_paragraph(self, name: str | None) -> str | None:
        """Return the name of the list style; an empty one says that the paragraph is not numbered."""
        for style in self._chain(_FAMILY_OF_PARAGRAPHS, name):
            found = style.get(f"{STYLE}list-style-name")
            if found is not None:
                return found
        return None

    def add_container(self, container: etree._Element) -> None:
        for style in container:
            name = style.get(f"{STYLE}name", "")
            if style.tag == f"{STYLE}style":
                self._styles[style.get(f"{STYLE}family", ""), name] = style
            elif style.tag in _LIST_STYLES:
                found = list_style(style)
                self._lists[name] = found
                if style.tag == _OUTLINE:
                    self.outline = found

    def _chain(self, family: str, name: str | None) -> Iterator[etree._Element]:
        for _ in range(_DEEPEST_CHAIN):  # a style may claim to be based on itself
            style = self._styles.get((family, name)) if name else None
            if style is None:
                return
            yield style
            name = style.get(f"{STYLE}parent-style-name")

    def _property(self, family: str, name: str | None, kind: str, attribute: str) -> str | None:
        for style in self._chain(family, name):
            for properties in style.iterchildren(f"{STYLE}{kind}"):
                found = properties.get(attribute)
                if found is not None:
                    return found
        return None


def page_masters(root: etree._Element) -> Iterator[etree._Element]:
    """Yield the master pages of `styles.xml`, which hold headers and footers or what stands on every slide."""
    for container in root.iterchildren(f"{OFFICE}master-styles"):
        yield from container.iterchildren(f"{STYLE}master-page")
