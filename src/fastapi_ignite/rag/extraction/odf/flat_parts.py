"""Gives the parts of a flat OpenDocument file, which is one XML file in place of a package."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.package_parts import XmlParts

_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_BODY: Final = b"<office:body>"
_END_OF_BODY: Final = b"</office:body>"
# Pictures, which are longer than a text that the XML parser accepts.
_BINARY_DATA: Final = re.compile(rb"<office:binary-data>[^<]*</office:binary-data>")


class FlatParts(XmlParts):
    """One file as the parts that a package has: its content is the whole file, its styles are all but the body."""

    names = frozenset({_CONTENT, _STYLES})

    def __init__(self, data: bytes) -> None:
        self._data = _BINARY_DATA.sub(b"", data)

    def read(self, name: str) -> bytes:
        start, end = self._data.find(_BODY), self._data.rfind(_END_OF_BODY)
        if name == _CONTENT or not 0 <= start < end:
            return self._data
        return self._data[:start] + self._data[end + len(_END_OF_BODY) :]
