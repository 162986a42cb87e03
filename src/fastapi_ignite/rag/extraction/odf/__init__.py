"""Reads OpenDocument files, packed or flat: texts, spreadsheets and presentations.

docs/reading-documents.md says what is left out.
Every text of the body is kept, at any depth, except deleted text of tracked changes, text that is formatted or
switched as hidden, ruby readings, alternative texts of pictures, the templates of indexes, and scripts.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.page_numbers import is_only_page_number
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import ZIP_MAGIC, MediaType
from fastapi_ignite.rag.extraction.odf.flat_parts import FlatParts
from fastapi_ignite.rag.extraction.odf.forms import form_values
from fastapi_ignite.rag.extraction.odf.names import OFFICE, STYLE, TEXT
from fastapi_ignite.rag.extraction.odf.sheets import SheetReader
from fastapi_ignite.rag.extraction.odf.slides import SlideReader
from fastapi_ignite.rag.extraction.odf.styles import Styles, page_masters
from fastapi_ignite.rag.extraction.odf.text import BlockReader
from fastapi_ignite.rag.extraction.package_parts import PackageParts, XmlParts
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_HEADERS: Final = tuple(f"{STYLE}header{suffix}" for suffix in ("-first", "", "-left"))
_FOOTERS: Final = tuple(f"{STYLE}footer{suffix}" for suffix in ("-first", "", "-left"))
_FIELDS: Final = tuple(
    f"{TEXT}{name}" for name in ("page-number", "page-count", "sheet-name", "date", "time", "title", "file-name")
)


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read an OpenDocument file. Only slides are pages: a text has none until it is printed, a sheet is none.

    Raises:
        ExtractionError: the file is damaged, or repetitions in it make endless text.
    """
    document = _Document(PackageParts(data) if data.startswith(ZIP_MAGIC) else FlatParts(data))
    if media_type is MediaType.ODS:
        output = document.spreadsheet()
    elif media_type is MediaType.ODP:
        output = document.presentation()
    else:
        output = document.text()
    return ExtractedText(output.text, output.page_starts, media_type.value, output.spans)


class _Document:
    def __init__(self, parts: XmlParts) -> None:
        self._parts = parts
        self._common = parts.xml("styles.xml") if "styles.xml" in parts.names else None
        self._output = TextBuilder()

    def text(self) -> TextBuilder:
        content = self._content()
        self._reader(content).blocks(_body(content))
        self._margins(_HEADERS)
        self._margins(_FOOTERS)
        return self._output

    def spreadsheet(self) -> TextBuilder:
        styles = self._styles(None)
        SheetReader(self._parts, styles, self._output, BlockReader(styles, self._output, self._part)).read()
        self._margins(_HEADERS)
        self._margins(_FOOTERS)
        return self._output

    def presentation(self) -> TextBuilder:
        content = self._content()
        masters = {master.get(f"{STYLE}name", ""): master for master in self._masters()}
        of_masters = BlockReader(self._styles(None), self._output, self._part)
        slides = SlideReader(self._styles(content), self._output, self._reader(content), masters, of_masters)
        slides.read(_body(content))
        return self._output

    def _content(self) -> etree._Element:
        return self._parts.xml("content.xml")

    def _reader(self, content: etree._Element) -> BlockReader:
        return BlockReader(self._styles(content), self._output, self._part, form_values(content))

    def _styles(self, content: etree._Element | None) -> Styles:
        styles = Styles()
        if self._common is not None:
            styles.add(self._common, automatic=False)
        if content is not None:
            styles.add(content)
        return styles

    def _part(self, name: str) -> etree._Element | None:
        return self._parts.xml(name) if name in self._parts.names else None

    def _masters(self) -> list[etree._Element]:
        return [] if self._common is None else list(page_masters(self._common))

    def _margins(self, names: tuple[str, ...]) -> None:
        """Write each different header or footer once."""
        styles = Styles()
        if self._common is not None:
            styles.add(self._common)
        written: set[str] = set()
        for master in self._masters():
            for margin in master.iterchildren(*names):
                if margin.get(f"{STYLE}display") == "false":
                    continue
                _drop_page_numbers(margin)
                text = TextBuilder()
                BlockReader(styles, text, self._part).blocks(margin)
                if text.text.strip() and text.text not in written:
                    written.add(text.text)
                    self._output.paragraph(text.text)


def _body(content: etree._Element) -> etree._Element:
    for body in content.iterchildren(f"{OFFICE}body"):
        for kind in body:
            if isinstance(kind.tag, str):
                return kind
    raise ExtractionError(ErrorCode.CORRUPT_FILE)


def _drop_page_numbers(margin: etree._Element) -> None:
    """Remove paragraphs that say no more than on which page they stand, of what and when printed."""
    for paragraph in list(margin.iter(f"{TEXT}p", f"{TEXT}h")):
        fields = [field for field in paragraph.iter(*_FIELDS) if field.getparent() is not None]
        rest = "".join(map(str, paragraph.itertext()))
        for field in fields:
            rest = rest.replace("".join(map(str, field.itertext())), " ", 1)
        parent = paragraph.getparent()
        if fields and parent is not None and is_only_page_number(rest):
            parent.remove(paragraph)
