"""Finds the parts of a Word file by their relationships, and parses their XML with nothing loaded from outside."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError)
_STRICT: Final = "http://purl.oclc.org/ooxml/"
_STRICT_NAME: Final = re.compile(r"\{http://purl\.oclc\.org/ooxml/([^/}]+)/([^}]+)\}(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Relationship:
    """A link to another part. `kind` is the last word of its type, such as `header`; `part` is the part's name."""

    kind: str
    part: str


class WordPackage:
    """The parts of one file. Names are compared without regard to case and percent-encoding, as OPC demands."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _UNREADABLE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        self._entries = {_comparable(entry.filename): entry for entry in self._zip.infolist()}

    @property
    def main_part(self) -> str:
        """Return the name of the part that holds the body. Word calls it `word/document.xml`, others do not."""
        for link in self.relationships("").values():
            if link.kind == "officeDocument" and link.part in self._entries:
                return link.part
        return "word/document.xml"

    def relationships(self, part: str) -> dict[str, Relationship]:
        """Return the relationships of a part by id; of the package itself for an empty name. Web links are left out."""
        folder, name = posixpath.split(part)
        root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        found: dict[str, Relationship] = {}
        for link in () if root is None else root:
            target = link.get("Target", "")
            if link.get("TargetMode", "").lower() != "external" and target:
                joined = posixpath.join("/", folder, target.replace("\\", "/"))
                kind = link.get("Type", "").rpartition("/")[2]
                found[link.get("Id", "")] = Relationship(kind, _comparable(posixpath.normpath(joined)))
        return found

    def content(self, part: str) -> bytes | None:
        """Return the bytes of a part, or None if the package has none of this name.

        Raises:
            ExtractionError: the part cannot be unpacked.
        """
        entry = self._entries.get(_comparable(part))
        if entry is None:
            return None
        try:
            return self._zip.read(entry)
        except _UNREADABLE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage

    def text_content(self, part: str) -> bytes:
        """Return the bytes of a part that holds text of the document: without it the document is incomplete.

        Raises:
            ExtractionError: the part is missing or cannot be unpacked.
        """
        content = self.content(part)
        if content is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return content

    def xml(self, part: str) -> etree._Element | None:
        """Return the root element of a part, or None if the package has none of this name."""
        content = self.content(part)
        return None if content is None else parse(content)


def parse(content: bytes) -> etree._Element:
    """Parse a part. A strict document gets the names of a transitional one.

    Raises:
        ExtractionError: the XML is damaged, nested too deeply, or has a DTD, which OPC forbids.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
    _refuse_dtd(root)
    return transitional(root)


def children_while_parsing(content: bytes, parent: str, expected: tuple[str, ...]) -> Iterator[etree._Element]:
    """Yield the children of the first element named `parent` one by one, and free each when the next is asked for.

    So a document of a thousand pages needs little memory. Only elements with a name in `expected` wake the reader;
    others are yielded together with the next one that does.

    Raises:
        ExtractionError: as `parse` does, at the place of the damage.
    """
    events = etree.iterparse(
        io.BytesIO(content),
        events=("end",),
        tag=[*expected, *map(_strict, expected), parent, _strict(parent)],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    container: etree._Element | None = None
    finished: etree._Element | None = None
    try:
        for _, element in events:
            above = element.getparent()
            if container is None:
                container = next((each for each in (above, element) if _is_named(each, parent)), None)
                if container is None:
                    continue
                _refuse_dtd(container)
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
    except (etree.XMLSyntaxError, ValueError) as damage:
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


def _refuse_dtd(element: etree._Element) -> None:
    if element.getroottree().docinfo.doctype:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)


def _comparable(name: str) -> str:
    return unquote(name.replace("\\", "/")).lstrip("/").lower()
