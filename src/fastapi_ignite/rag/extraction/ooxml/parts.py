"""Gives the parts of an Office Open XML package, and the relations between them, to the readers of its formats.

Strict documents have other namespaces than transitional ones and the same names, so readers compare local names only.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lxml import etree

from fastapi_ignite.rag.extraction import package_parts
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_RELATION_NAMESPACES: Final = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)
# A hostile document shows the same part over and over; honest ones read few parts twice.
_MOST_READ: Final = 4


@dataclass(frozen=True, slots=True)
class Relation:
    """A link from one part to another. `kind` is the last word of its type, such as `slide`; `target` is a part."""

    kind: str
    target: str


class OfficeParts:
    """The parts of one package. Names are compared without regard to case and percent-encoding, as the standard says.

    Every method raises an `ExtractionError` where a part that is there cannot be read.
    """

    def __init__(self, data: bytes) -> None:
        self._package = package_parts.open_package(data)
        self._entries = {_normalized(entry.filename): entry for entry in self._package.infolist()}
        self._left = _MOST_READ * sum(entry.file_size for entry in self._package.infolist())

    def content(self, name: str) -> bytes | None:
        """Return the bytes of a part, or None if the package has no such part."""
        entry = self._entries.get(_normalized(name))
        if entry is None:
            return None
        self._left -= entry.file_size
        if self._left < 0:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return package_parts.unpack(self._package, entry)

    def has(self, name: str) -> bool:
        return _normalized(name) in self._entries

    def required_content(self, name: str) -> bytes:
        """Return the bytes of a part without which the document is incomplete."""
        content = self.content(name)
        if content is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return content

    def xml(self, name: str) -> etree._Element | None:
        """Return the root of a part, or None if the package has no such part."""
        content = self.content(name)
        return None if content is None else parse_xml(content)

    def required_xml(self, name: str) -> etree._Element:
        """Return the root of a part without which the document is incomplete."""
        root = self.xml(name)
        if root is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return root

    def relations(self, name: str) -> dict[str, Relation]:
        """Return the relations of a part by their ids. Links to the outside, such as hyperlinks, are left out."""
        folder, _, file = name.rpartition("/")
        root = self.xml(f"{folder}/_rels/{file}.rels" if folder else f"_rels/{file}.rels")
        relations: dict[str, Relation] = {}
        for link in () if root is None else root:
            target = link.get("Target", "").replace("\\", "/")
            if link.get("TargetMode", "").lower() != "external" and target:
                part = _normalized(posixpath.normpath(posixpath.join("/", folder, target)))
                relations[link.get("Id", "")] = Relation(link.get("Type", "").rpartition("/")[2], part)
        return relations

    def related(self, name: str, *kinds: str) -> Iterator[str]:
        """Yield the parts that a part is related to in one of these ways."""
        for relation in self.relations(name).values():
            if relation.kind in kinds:
                yield relation.target

    def main_part(self, otherwise: str) -> str:
        """Return the name of the part that the document begins with; `otherwise` where the package names none."""
        return next(filter(self.has, self.related("", "officeDocument")), otherwise)


def parse_xml(content: bytes) -> etree._Element:
    """Parse a part.

    Raises:
        ExtractionError: the XML is damaged, too deep, or has a document type.
    """
    return refuse_document_type(package_parts.parse_xml(content))


def refuse_document_type(root: etree._Element | None) -> etree._Element:
    """Return the root, unless its part is empty or has a document type, which the standard of the packages forbids."""
    if root is None or root.getroottree().docinfo.doctype or root.getroottree().docinfo.internalDTD is not None:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    return root


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: etree._Element | None, *names: str) -> Iterator[etree._Element]:
    """Yield the children of these local names, in order."""
    if element is not None:
        yield from element.iterchildren(*(f"{{*}}{name}" for name in names))


def find(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Return the first element that these local names lead to from child to child, or None."""
    for name in path:
        element = next(children(element, name), None)
    return element


def descendants(element: etree._Element | None, name: str) -> Iterator[etree._Element]:
    """Yield all elements of this local name at any depth, in order."""
    if element is not None:
        yield from element.iter(f"{{*}}{name}")


def chosen_children(element: etree._Element | None) -> Iterator[etree._Element]:
    """Yield the children of an element, and of alternatives the first: the others say the same for older programs."""
    for child in () if element is None else element:
        if local_name(child) == "AlternateContent":
            chosen = next(children(child, "Choice"), None)
            yield from chosen_children(find(child, "Fallback") if chosen is None else chosen)
        else:
            yield child


def relation_id(element: etree._Element, name: str = "id") -> str:
    """Return the attribute `r:id`, or another of the namespace of relations; an empty text if it is missing."""
    return next((found for space in _RELATION_NAMESPACES if (found := element.get(f"{{{space}}}{name}"))), "")


def is_true(value: str | None) -> bool:
    return value in {"1", "true", "on"}


def _normalized(name: str) -> str:
    return unquote(name.replace("\\", "/")).lstrip("/").lower()
