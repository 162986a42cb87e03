"""Reads presentations of PowerPoint 97 to 2003 (`.ppt`), one page a slide, after [MS-PPT].

Such a file grows with each save, and old copies of slides stay in it. What is valid is found from the last edit: its
directory says where each object stands now, and the list of slides says their order. Notes stand on the page of their
slide, and hidden slides are marked, as in newer presentations. Left out on purpose: masters, headers and footers,
the number of a slide, the marks of lists, and embedded files such as charts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.ole_streams import OleStreams
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_HEADER: Final = struct.Struct("<HHI")
_CONTAINER: Final = 0xF
# types of records
_DOCUMENT, _SLIDE, _SLIDE_ATOM, _NOTES, _SLIDE_PERSIST = 0x03E8, 0x03EE, 0x03EF, 0x03F0, 0x03F3
_SHOW_INFO, _PLACEHOLDER, _OUTLINE_TEXT = 0x03F9, 0x0BC3, 0x0F9E
_TEXT_HEADER, _TEXT_CHARS, _TEXT_BYTES, _STRING = 0x0F9F, 0x0FA0, 0x0FA8, 0x0FBA
_SLIDE_LIST, _USER_EDIT, _DIRECTORY, _COMMENT = 0x0FF0, 0x0FF5, 0x1772, 0x2EE0
_TAG_DATA, _SHAPE = 0x138B, 0xF004
_LISTED_SLIDES, _LISTED_NOTES = 0, 2
_TITLES: Final = frozenset({0, 6})
_FURNITURE: Final = frozenset({0x07, 0x08, 0x09, 0x0A})  # date, number, footer and header as placeholders
_HIDDEN_FLAG: Final = 0x4
_HIDDEN: Final = "(hidden slide)"
_ENCRYPTED_EDIT_BYTES: Final = 32
_MOST_EDITS: Final = 100_000
_DAMAGE: Final = (struct.error, KeyError, IndexError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of the stream; its content is `[start:end]`."""

    kind: int
    instance: int
    is_container: bool
    start: int
    end: int


@dataclass(slots=True)
class _Listed:
    """A slide in the list of slides, with the texts of its outline, which its shapes refer to."""

    object_id: int
    slide_id: int
    texts: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Page:
    """The text of a slide or of its notes."""

    texts: list[tuple[int, str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    notes_id: int = 0
    hidden: bool = False


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a presentation.

    Raises:
        ExtractionError: the file is encrypted or damaged.
    """
    streams = OleStreams(data)
    content = streams.read("PowerPoint Document")
    if content is None:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    try:
        builder = TextBuilder()
        _Presentation(content, streams.read("Current User") or b"").add_to(builder)
    except _DAMAGE as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
    return ExtractedText(builder.text, builder.page_starts, media_type.value, builder.spans)


class _Presentation:
    def __init__(self, data: bytes, current_user: bytes) -> None:
        self._data = data
        # No honest object overlaps another one; hostile ones may be read over and over.
        self._left = 2 * len(data)
        self._places, document = self._directory(self._last_edit(current_user))
        self._slides: list[_Listed] = []
        self._notes: dict[int, _Listed] = {}
        root = self._object(document, _DOCUMENT)
        for record in self._children(root):
            if record.kind == _SLIDE_LIST and record.instance == _LISTED_SLIDES:
                self._slides.extend(self._listed(record))
            elif record.kind == _SLIDE_LIST and record.instance == _LISTED_NOTES:
                self._notes.update((listed.slide_id, listed) for listed in self._listed(record))

    def add_to(self, builder: TextBuilder) -> None:
        for listed in self._slides:
            builder.page()
            slide = self._page(listed, _SLIDE)
            titles = [text for kind, text in slide.texts if kind in _TITLES]
            mark = _HIDDEN if slide.hidden and (slide.texts or slide.notes_id) else ""
            for title in titles:
                builder.heading(f"{title} {mark}".rstrip(), 1)
                mark = ""
            builder.paragraph(mark)
            _add_texts(builder, slide)
            if slide.notes_id in self._notes:
                notes = self._page(self._notes[slide.notes_id], _NOTES)
                if notes.texts:
                    builder.heading("Notes:", 2)
                    _add_texts(builder, notes)
            for comment in slide.comments:
                builder.paragraph(comment)

    def _last_edit(self, current_user: bytes) -> int:
        """Return where the newest edit stands: the file says it, or it is the last one in the stream."""
        if len(current_user) >= 20:  # noqa: PLR2004  # the record's header and three numbers
            (place,) = struct.unpack_from("<I", current_user, 16)
            if place + _HEADER.size <= len(self._data) and self._record(place).kind == _USER_EDIT:
                return int(place)
        edits = [record.start for record in self._children(None) if record.kind == _USER_EDIT]
        if not edits:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return edits[-1] - _HEADER.size

    def _directory(self, place: int) -> tuple[dict[int, int], int]:
        """Return where each object stands, the newest edit first, and the number of the document."""
        places: dict[int, int] = {}
        document: int | None = None
        seen: set[int] = set()
        while place not in seen and len(seen) < _MOST_EDITS:
            seen.add(place)
            edit = self._record(place)
            if edit.kind != _USER_EDIT:
                break
            if (
                edit.end - edit.start >= _ENCRYPTED_EDIT_BYTES
                and struct.unpack_from("<I", self._data, edit.start + 28)[0]
            ):
                raise ExtractionError(ErrorCode.PASSWORD_PROTECTED)
            previous, directory, number = struct.unpack_from("<III", self._data, edit.start + 8)
            document = number if document is None else document
            for object_id, where in self._entries(self._record(directory)):
                places.setdefault(object_id, where)
            if not previous:
                break
            place = previous
        if document is None:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return places, document

    def _entries(self, record: _Record) -> Iterator[tuple[int, int]]:
        if record.kind != _DIRECTORY:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        self._spend(record)
        place = record.start
        while place + 4 <= record.end:
            (head,) = struct.unpack_from("<I", self._data, place)
            first, count = head & 0xFFFFF, head >> 20
            count = min(count, (record.end - place - 4) // 4)
            for number, where in enumerate(struct.unpack_from(f"<{count}I", self._data, place + 4)):
                yield first + number, where
            place += 4 + 4 * count

    def _listed(self, slide_list: _Record) -> Iterator[_Listed]:
        """Yield the slides or notes of a list, each with the texts that follow it there."""
        listed: _Listed | None = None
        kind = -1
        for record in self._children(slide_list):
            if record.kind == _SLIDE_PERSIST:
                if listed is not None:
                    yield listed
                object_id, slide_id = struct.unpack_from("<I8xI", self._data, record.start)
                listed = _Listed(object_id, slide_id)
            elif listed is not None and record.kind == _TEXT_HEADER:
                (kind,) = struct.unpack_from("<I", self._data, record.start)
                listed.texts.append((kind, ""))
            elif listed is not None and listed.texts and record.kind in {_TEXT_CHARS, _TEXT_BYTES}:
                listed.texts[-1] = (kind, _text(self._data, record))
        if listed is not None:
            yield listed

    def _page(self, listed: _Listed, kind: int) -> _Page:
        """Return the texts of a slide or of notes, in the order of the shapes."""
        page = _Page()
        shapes = _ShapeTexts(self._data, listed.texts)
        comment = ["", ""]
        for record in self._descendants(self._object(listed.object_id, kind)):
            if record.kind == _SLIDE_ATOM:
                (page.notes_id,) = struct.unpack_from("<I", self._data, record.start + 16)
            elif record.kind == _SHOW_INFO:
                (flags,) = struct.unpack_from("<H", self._data, record.start + 10)
                page.hidden = bool(flags & _HIDDEN_FLAG)
            elif record.kind == _COMMENT:
                comment = ["", ""]
                page.comments.append("")
            elif record.kind == _STRING and page.comments and record.instance < len(comment):
                comment[record.instance] = _text(self._data, record)
                author, text = comment
                page.comments[-1] = comment_text(text, author)
            elif (found := shapes.take(record)) is not None:
                page.texts.append(found)
        return page

    def _object(self, object_id: int, kind: int) -> _Record:
        record = self._record(self._places[object_id])
        if record.kind != kind:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return record

    def _record(self, place: int) -> _Record:
        version, kind, length = _HEADER.unpack_from(self._data, place)
        start = place + _HEADER.size
        end = start + length
        if end > len(self._data):
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return _Record(kind, version >> 4, version & 0xF == _CONTAINER, start, end)

    def _children(self, parent: _Record | None) -> Iterator[_Record]:
        place, end = (0, len(self._data)) if parent is None else (parent.start, parent.end)
        self._spend(parent)
        while place + _HEADER.size <= end:
            record = self._record(place)
            yield record
            place = record.end

    def _descendants(self, parent: _Record) -> Iterator[_Record]:
        """Yield all records below one, in the order of the file."""
        self._spend(parent)
        place = parent.start
        while place + _HEADER.size <= parent.end:
            record = self._record(place)
            yield record
            place = record.start if record.is_container or record.kind == _TAG_DATA else record.end

    def _spend(self, record: _Record | None) -> None:
        self._left -= len(self._data) if record is None else record.end - record.start
        if self._left < 0:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)


class _ShapeTexts:
    """Follows the records of a slide from shape to shape."""

    def __init__(self, data: bytes, outline: Sequence[tuple[int, str]]) -> None:
        self._data = data
        self._outline = dict(enumerate(outline))
        self._kind = -1
        self._placeholder = 0

    def take(self, record: _Record) -> tuple[int, str] | None:
        """Return the text of a record with its kind, if it has one that stands on the slide itself."""
        found: tuple[int, str] | None = None
        if record.kind == _SHAPE:
            self._placeholder = 0
        elif record.kind == _PLACEHOLDER:
            self._placeholder = self._data[record.start + 4]
        elif record.kind == _TEXT_HEADER:
            (self._kind,) = struct.unpack_from("<I", self._data, record.start)
        elif record.kind in {_TEXT_CHARS, _TEXT_BYTES}:
            found = (self._kind, _text(self._data, record))
        elif record.kind == _OUTLINE_TEXT:
            found = self._outline.pop(struct.unpack_from("<I", self._data, record.start)[0], None)
        is_shown = found is not None and found[1].strip() and self._placeholder not in _FURNITURE
        return found if is_shown else None


def _text(data: bytes, record: _Record) -> str:
    content = data[record.start : record.end]
    if record.kind == _TEXT_BYTES:
        return content.decode("latin-1")
    return content[: len(content) // 2 * 2].decode("utf-16-le", "replace")


def _add_texts(builder: TextBuilder, page: _Page) -> None:
    """Add all texts but titles. A carriage return ends a paragraph, and a vertical tab a line."""
    for kind, text in page.texts:
        if kind not in _TITLES:
            for paragraph in text.split("\r"):
                builder.paragraph(paragraph)
