"""Reads EPUB books: the chapters in the order of the spine, each with the reader of web pages.

Left out are the titles in the heads of the pages, which nobody sees, the description of the book, pictures, and pages
that the spine does not name. Parts that are not meant to be read in order (`linear="no"`) are read where they stand.
"""

from __future__ import annotations

import codecs
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import unquote

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.html.markup import Tag, tokens
from fastapi_ignite.rag.extraction.package_parts import PackageParts
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_CONTAINER: Final = "META-INF/container.xml"
_PAGES: Final = frozenset(
    {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document", "application/xml"}
)
_DRAWING: Final = "image/svg+xml"
_LONGEST_FALLBACK: Final = 10
_DECLARED: Final = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_DECLARATION_BYTES: Final = 400
_HEAD: Final = re.compile(r"<head[\s>]", re.IGNORECASE)
_END_OF_HEAD: Final = re.compile(r"</head\s*>", re.IGNORECASE)
_ENTITY: Final = re.compile(r"""<!ENTITY\s+(\w{1,40})\s+(?:"([^"&<%]{1,40})"|'([^'&<%]{1,40})')\s*>""")
_REFERENCE: Final = re.compile(r"&(\w{1,40});")


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a book. It has no pages: they depend on the screen.

    Raises:
        ExtractionError: the book is damaged, or half of its chapters or more are missing from the file.
    """
    builder = TextBuilder()
    for page in _Book(PackageParts(data)).pages():
        read_page(page, builder, with_title=False)
    return ExtractedText(builder.text, None, media_type.value, builder.spans)


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    media_type: str
    fallback: str


class _Book:
    def __init__(self, parts: PackageParts) -> None:
        self._parts = parts
        self._names = {_comparable(name): name for name in parts.names}
        self._package_name = self._find_package()
        self._package = self._parsed_package()
        self._items = {item.get("id", ""): self._item(item) for item in self._package.iter("{*}item")}

    def pages(self) -> Iterator[str]:
        """Yield the markup of each chapter, in reading order and once, however often the spine names it."""
        names = list(dict.fromkeys(item for item in self._spine() if item is not None))
        found = {item: self._stored_name(item.name) for item in names}
        if names and 2 * sum(name is None for name in found.values()) >= len(names):
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        for item, name in found.items():
            if name is not None:
                yield _page(_decoded(self._parts.read(name)), is_drawing=item.media_type == _DRAWING)

    def _find_package(self) -> str:
        """Return the name of the file that lists the parts of the book. Of several editions the first is read."""
        if _CONTAINER in self._parts.names:
            for root in self._parts.xml(_CONTAINER).iter("{*}rootfile"):
                name = self._stored_name(unquote(root.get("full-path", "")))
                if name is not None:
                    return name
        found = min((name for name in self._parts.names if name.lower().endswith(".opf")), default=None)
        if found is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return found

    def _parsed_package(self) -> etree._Element:
        try:
            return self._parts.xml(self._package_name)
        except ExtractionError:
            # Descriptions often hold references such as `&nbsp;`, which XML does not know.
            source = self._parts.read(self._package_name)
            parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, load_dtd=False)
            root = etree.fromstring(source, parser) if source.rstrip().endswith(b"package>") else None
            if root is None:
                raise
            return root

    def _item(self, item: etree._Element) -> _Item:
        folder = posixpath.dirname(self._package_name)
        path = unquote(item.get("href", "").partition("#")[0])
        name = posixpath.normpath(posixpath.join("/", folder, path)).lstrip("/")
        return _Item(name, item.get("media-type", "").strip().lower(), item.get("fallback", ""))

    def _spine(self) -> Iterator[_Item | None]:
        references = [reference.get("idref", "") for reference in self._package.iter("{*}itemref")]
        for identity in references or self._items:
            yield self._readable(identity)

    def _readable(self, identity: str) -> _Item | None:
        """Return the item, or what the book offers to programs that cannot show it; None for a picture alone."""
        for _ in range(_LONGEST_FALLBACK):
            item = self._items.get(identity)
            if item is None:
                return None
            if item.media_type in _PAGES or item.media_type == _DRAWING or item.name.endswith((".xhtml", ".html")):
                return item
            identity = item.fallback
        return None

    def _stored_name(self, name: str) -> str | None:
        return name if name in self._parts.names else self._names.get(_comparable(name))


def _comparable(name: str) -> str:
    """Programs differ in how they write letters with accents, blanks and capitals in the names of parts."""
    return unicodedata.normalize("NFC", unquote(name)).casefold()


def _decoded(data: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace").lstrip("\ufeff")
    declared = _DECLARED.search(data[:_DECLARATION_BYTES])
    for encoding in (declared[1].decode("ascii") if declared else "utf-8", "utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("utf-8", "replace")


def _page(markup: str, *, is_drawing: bool) -> str:
    """Return the part of a chapter that is shown, as the reader of web pages takes it."""
    markup = _without_sections(_without_subset(markup))
    if is_drawing:
        return _drawn_text(markup)
    head = _HEAD.search(markup)
    end = _END_OF_HEAD.search(markup, head.end()) if head is not None else None
    if head is not None and end is not None:
        markup = markup[: head.start()] + markup[end.end() :]
    return _with_drawn_text(markup)


def _without_subset(markup: str) -> str:
    """Remove the declarations inside a document type, and put their entities where the chapter refers to them."""
    start = markup.find("<!DOCTYPE")
    opening, closing = markup.find("[", start), markup.find(">", start)
    end = markup.find("]>", opening) if start >= 0 and 0 <= opening < closing else -1
    if end < 0:
        return markup
    entities = {name: double or single for name, double, single in _ENTITY.findall(markup, opening, end)}
    rest = markup[:start] + markup[end + 2 :]
    return _REFERENCE.sub(lambda found: entities.get(found[1], found[0]), rest) if entities else rest


def _without_sections(markup: str) -> str:
    """Write the sections of characters as XHTML has them in the way that HTML has them; there they are comments."""
    first, *sections = markup.split("<![CDATA[")
    pieces = [first]
    for section in sections:
        characters, end, rest = section.partition("]]>")
        pieces += (escape(characters, quote=False) if end else characters, rest)
    return "".join(pieces)


def _with_drawn_text(markup: str) -> str:
    """Put the text of drawings, such as a title page, in place of the drawings, which a web page shows as pictures."""
    pieces: list[str] = []
    position = 0
    while (start := markup.find("<svg", position)) >= 0:
        end = markup.find("</svg>", start)
        if end < 0:
            break
        pieces += (markup[position:start], _drawn_text(markup[start:end]))
        position = end + len("</svg>")
    return "".join(pieces) + markup[position:]


def _drawn_text(drawing: str) -> str:
    lines: list[str] = []
    depth = 0
    for token in tokens(drawing):
        if isinstance(token, Tag):
            if token.name.rpartition(":")[2] == "text":
                depth = max(0, depth + (1 if token.is_start else -1))
                lines += ["<p>"] if token.is_start else ["</p>"]
        elif depth:
            lines.append(escape(token, quote=False))
    return "".join(lines)
