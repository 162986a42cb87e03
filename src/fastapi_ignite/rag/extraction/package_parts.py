"""Unpacks the parts of a zip package and parses their XML, without ever loading anything that the XML refers to."""

from __future__ import annotations

import io
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

# What zipfile raises for a damaged part; for a compression that it cannot unpack it is NotImplementedError.
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError)
# What lxml raises for XML that is damaged or too deep.
XML_DAMAGE: Final = (etree.XMLSyntaxError, ValueError)
_PARSER: Final = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
)


def open_package(data: bytes) -> zipfile.ZipFile:
    """Open a package whose unpacked size `packages.package_type` has checked.

    Raises:
        ExtractionError: the directory of the package is damaged.
    """
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def unpack(package: zipfile.ZipFile, part: str | zipfile.ZipInfo) -> bytes:
    """Return the bytes of a part, never more of them than its header says, although `ZipFile.read` unpacks all.

    Raises:
        ExtractionError: the part is missing or damaged.
    """
    try:
        entry = part if isinstance(part, zipfile.ZipInfo) else package.getinfo(part)
        with package.open(entry) as content:
            return content.read(entry.file_size)
    except (KeyError, *_DAMAGE) as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def parse_xml(content: bytes) -> etree._Element:
    """Return the root element of a part.

    Raises:
        ExtractionError: the part is no XML within the limits of the parser.
    """
    try:
        return etree.fromstring(content, _PARSER)
    except XML_DAMAGE as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def parse_events(
    content: bytes, tags: str | Sequence[str], events: Sequence[Literal["start", "end"]] = ("end",)
) -> etree.iterparse[tuple[str, etree._Element]]:
    """Return the events of the elements of these names. They are parsed while the caller asks for them.

    The caller clears the elements it is done with, so that a part of any size needs little memory, and turns
    `XML_DAMAGE` into an `ExtractionError`.
    """
    return etree.iterparse(
        io.BytesIO(content),
        events=events,
        tag=tags,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


class XmlParts(ABC):
    """The parts of an OpenDocument file or a book. Their names are compared as they are written."""

    names: frozenset[str]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            ExtractionError: the part is missing or damaged.
        """

    def xml(self, name: str) -> etree._Element:
        """Return the root element of a part.

        Raises:
            ExtractionError: the part is missing, damaged, no XML within the parser's limits, or declares entities.
        """
        root = parse_xml(self.read(name))
        _refuse_entities(root)
        return root

    def xml_events(self, name: str, tags: Sequence[str]) -> Iterator[tuple[str, etree._Element]]:
        """Yield `start` and `end` with each element of these names, while the part is parsed.

        The caller clears the elements it is done with, so that a part of any size needs little memory.

        Raises:
            ExtractionError: as `xml` does, at the place of the damage.
        """
        events = parse_events(self.read(name), tags, ("start", "end"))
        try:
            yield from events
            _refuse_entities(events.root)
        except XML_DAMAGE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


class PackageParts(XmlParts):
    """The parts of a zip package."""

    def __init__(self, data: bytes) -> None:
        self._package = open_package(data)
        self.names = frozenset(self._package.namelist())

    def read(self, name: str) -> bytes:
        return unpack(self._package, name)


def _refuse_entities(root: etree._Element | None) -> None:
    """Refuse entities: no program declares any in these files. As they are not replaced, their text would be lost."""
    declarations = root.getroottree().docinfo.internalDTD if root is not None else None
    if declarations is not None and any(declarations.iterentities()):
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
