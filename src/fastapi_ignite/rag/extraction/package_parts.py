"""Gives the parts of a zip package and parses its XML, without ever loading anything that the XML refers to."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError)


class PackageParts:
    """The parts of a package whose unpacked size `packages.package_type` has checked."""

    def __init__(self, data: bytes) -> None:
        try:
            self._package = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        self.names = frozenset(self._package.namelist())

    def read(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            ExtractionError: the part is missing or damaged.
        """
        try:
            return self._package.read(name)
        except (KeyError, *_DAMAGE) as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage

    def xml(self, name: str) -> etree._Element:
        """Return the root element of a part.

        Raises:
            ExtractionError: the part is missing, damaged, no XML within the parser's limits, or declares entities.
        """
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
        )
        try:
            root = etree.fromstring(self.read(name), parser)
        except etree.XMLSyntaxError as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        _refuse_entities(root)
        return root

    def xml_events(self, name: str, tags: Sequence[str]) -> Iterator[tuple[str, etree._Element]]:
        """Yield `start` and `end` with each element of these names, while the part is parsed.

        The caller clears the elements it is done with, so that a part of any size needs little memory.

        Raises:
            ExtractionError: as `xml` does, at the place of the damage.
        """
        events = etree.iterparse(
            io.BytesIO(self.read(name)),
            events=("start", "end"),
            tag=tags,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            yield from events
            _refuse_entities(events.root)
        except etree.XMLSyntaxError as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def _refuse_entities(root: etree._Element | None) -> None:
    """No program declares entities in these files. As they are not replaced, their text would be lost."""
    declarations = root.getroottree().docinfo.internalDTD if root is not None else None
    if declarations is not None and any(declarations.iterentities()):
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
