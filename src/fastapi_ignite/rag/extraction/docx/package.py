"""Gives the parts of a Word file. Strict documents get the names of transitional ones, which the reader knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.ooxml.parts import OfficeParts, refuse_document_type
from fastapi_ignite.rag.extraction.package_parts import XML_DAMAGE, parse_events

_STRICT: Final = "http://purl.oclc.org/ooxml/"
_STRICT_NAME: Final = re.compile(r"\{http://purl\.oclc\.org/ooxml/([^/}]+)/([^}]+)\}(.*)", re.DOTALL)


class WordPackage(OfficeParts):
    """The parts of one file. A strict document gets the names of a transitional one."""

    def xml(self, name: str) -> etree._Element | None:
        root = super().xml(name)
        return None if root is None else transitional(root)


def children_while_parsing(content: bytes, parent: str, expected: tuple[str, ...]) -> Iterator[etree._Element]:
    """Yield the children of the first element named `parent` one by one, and free each when the next is asked for.

    So a document of a thousand pages needs little memory. Only elements with a name in `expected` wake the reader;
    others are yielded together with the next one that does.

    Raises:
        ExtractionError: as `OfficeParts` does, at the place of the damage.
    """
    events = parse_events(content, [*expected, *map(_strict, expected), parent, _strict(parent)])
    container: etree._Element | None = None
    finished: etree._Element | None = None
    try:
        for _, element in events:
            above = element.getparent()
            if container is None:
                container = next((each for each in (above, element) if _is_named(each, parent)), None)
                if container is None:
                    continue
                refuse_document_type(container)
            if above is not container and element is not container:
                continue
            if finished is not None:
                container.remove(finished)
            # What came before it and is named otherwise is complete as well.
            while (earlier := next(container.iterchildren(), None)) is not None and earlier is not element:
                yield transitional(earlier)
                container.remove(earlier)
            if element is container:
                return
            yield transitional(element)
            # Its place is kept until the next one ends, as the parser may still be adding what follows it.
            element.clear(keep_tail=True)
            finished = element
    except XML_DAMAGE as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def transitional(element: etree._Element) -> etree._Element:
    """Give an element and all below it the names of transitional documents, if it is of a strict one."""
    if _STRICT in str(element.tag):
        for each in element.iter(etree.Element):
            each.tag = transitional_name(str(each.tag))
            for name, value in each.attrib.items():
                if _STRICT in str(name):
                    del each.attrib[name]
                    each.set(transitional_name(str(name)), value)
    return element


@cache
def transitional_name(name: str) -> str:
    strict = _STRICT_NAME.match(name)
    if strict is None:
        return name
    subject, rest, local = strict.groups()
    return f"{{http://schemas.openxmlformats.org/{subject}/2006/{rest}}}{local}"


def _is_named(element: etree._Element | None, name: str) -> bool:
    return element is not None and transitional_name(str(element.tag)) == name


def _strict(name: str) -> str:
    return name.replace("http://schemas.openxmlformats.org/", _STRICT, 1).replace("/2006/", "/", 1)
