"""Compound files (OLE) that are built byte by byte: presentations of PowerPoint 97 and messages of Outlook."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from support.sample_files import OLE_MAGIC

Tree = Mapping[str, "bytes | Tree"]
_SECTOR: Final = 512
_MINI_SECTOR: Final = 64
_MINI_LIMIT: Final = 4096
_FREE, _END, _FAT_SECTOR, _NOTHING = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF


def make_ole(tree: Tree) -> bytes:
    """Make a compound file; in `tree`, a mapping is a folder and bytes are a stream."""
    return _OleFile(tree).content()


@dataclass
class _Entry:
    name: str
    kind: int
    child: int = _NOTHING
    right: int = _NOTHING
    start: int = _END
    size: int = 0


class _OleFile:
    def __init__(self, tree: Tree) -> None:
        self.entries = [_Entry("Root Entry", 5)]
        self.sectors: list[bytes] = []
        self.fat: list[int] = []
        self.mini = bytearray()
        self.mini_fat: list[int] = []
        self._add_children(0, tree)

    def _add_children(self, parent: int, tree: Tree) -> None:
        before = None
        for name in sorted(tree, key=lambda name: (len(name), name.upper())):
            node = tree[name]
            place = len(self.entries)
            self.entries.append(_Entry(name, 2 if isinstance(node, bytes) else 1))
            if before is None:
                self.entries[parent].child = place
            else:
                self.entries[before].right = place
            before = place
            if isinstance(node, bytes):
                self.entries[place].size = len(node)
                self.entries[place].start = self._small(node) if len(node) < _MINI_LIMIT else self._chain(node)
            else:
                self._add_children(place, node)

    def _small(self, data: bytes) -> int:
        if not data:
            return _END
        start = len(self.mini_fat)
        count = -(-len(data) // _MINI_SECTOR)
        self.mini += data.ljust(count * _MINI_SECTOR, b"\0")
        self.mini_fat += [*range(start + 1, start + count), _END]
        return start

    def _chain(self, data: bytes) -> int:
        start = len(self.sectors)
        count = -(-len(data) // _SECTOR)
        self.sectors += [data[place : place + _SECTOR].ljust(_SECTOR, b"\0") for place in range(0, len(data), _SECTOR)]
        self.fat += [*range(start + 1, start + count), _END]
        return start

    def content(self) -> bytes:
        if self.mini:
            self.entries[0].size = len(self.mini)
            self.entries[0].start = self._chain(bytes(self.mini))
        mini_fat = struct.pack(f"<{len(self.mini_fat)}I", *self.mini_fat)
        mini_sectors = -(-len(mini_fat) // _SECTOR)
        mini_start = self._chain(mini_fat.ljust(mini_sectors * _SECTOR, b"\xff")) if mini_fat else _END
        directory = self._chain(b"".join(map(_packed, self.entries)))
        fat_count = 1
        while (len(self.fat) + fat_count) * 4 > fat_count * _SECTOR:
            fat_count += 1
        fat_start = len(self.sectors)
        fat = [*self.fat, *[_FAT_SECTOR] * fat_count]
        fat += [_FREE] * (fat_count * _SECTOR // 4 - len(fat))
        places = [*range(fat_start, fat_start + fat_count)]
        header = OLE_MAGIC + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
        header += struct.pack("<IIIIIIIII", 0, fat_count, directory, 0, _MINI_LIMIT, mini_start, mini_sectors, _END, 0)
        header += struct.pack("<109I", *places, *[_FREE] * (109 - fat_count))
        return header + b"".join(self.sectors) + struct.pack(f"<{len(fat)}I", *fat)


def _packed(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le")
    return (
        name.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(name) + 2, entry.kind, 1, _NOTHING, entry.right, entry.child)
        + bytes(36)
        + struct.pack("<IQ", entry.start, entry.size)
    )


@dataclass
class OldSlide:
    """A slide of PowerPoint 97.

    `texts` are its texts with their types (0 is a title, 1 a body, 4 another text).
    """

    texts: Sequence[tuple[int, str]] = ()
    notes: str = ""
    hidden: bool = False
    number_placeholder: str = ""
    outline: Sequence[tuple[int, str]] = ()


def record(kind: int, content: bytes, *, instance: int = 0, container: bool = False) -> bytes:
    return struct.pack("<HHI", instance << 4 | (0xF if container else 0), kind, len(content)) + content


def make_ppt(slides: Sequence[OldSlide], *, order: Sequence[int] | None = None) -> bytes:
    """Make a presentation whose slides are stored as given and shown in the order `order`."""
    stream = record(0x03EE, _shape(4, "A stale copy of a slide"), container=True)
    places: list[int] = []
    for number, slide in enumerate(slides):
        atom = struct.pack("<I8xII4x", 0, 0, 256 + number if slide.notes else 0)
        show = record(0x03F9, struct.pack("<10xH4x", 4 if slide.hidden else 0))
        shapes = b"".join(_shape(kind, text) for kind, text in slide.texts)
        shapes += b"".join(_outline_shape(place) for place in range(len(slide.outline)))
        if slide.number_placeholder:
            shapes += _shape(4, slide.number_placeholder, placeholder=8)
        places.append(len(stream))
        stream += record(0x03EE, record(0x03EF, atom) + show + record(0x040C, shapes, container=True), container=True)
    noted = [number for number, slide in enumerate(slides) if slide.notes]
    for number in noted:
        places.append(len(stream))
        stream += record(0x03F0, record(0x03F1, bytes(8)) + _shape(2, slides[number].notes), container=True)
    listed = b"".join(
        record(0x03F3, struct.pack("<III4xI", 2 + number, 0, 0, 0)[:20])
        + b"".join(record(0x0F9F, struct.pack("<I", kind)) + _text(text) for kind, text in slides[number].outline)
        for number in (order if order is not None else range(len(slides)))
    )
    notes = b"".join(
        record(0x03F3, struct.pack("<IIIII", 2 + len(slides) + place, 0, 0, 256 + number, 0))
        for place, number in enumerate(noted)
    )
    document = record(0x0FF0, listed, container=True) + record(0x0FF0, notes, instance=2, container=True)
    document_place = len(stream)
    stream += record(0x03E8, document, container=True)
    directory = len(stream)
    offsets = [document_place, *places]
    stream += record(0x1772, struct.pack(f"<{len(offsets) + 1}I", len(offsets) << 20 | 1, *offsets))
    edit = len(stream)
    stream += record(0x0FF5, struct.pack("<IIIIIII", 0, 0, 0, directory, 1, 0, 0))
    user = record(0x0FF6, struct.pack("<III", 20, 0xE391C05F, edit))
    return make_ole({"PowerPoint Document": stream, "Current User": user})


def _text(text: str) -> bytes:
    if text.isascii():
        return record(0x0FA8, text.encode("ascii"))
    return record(0x0FA0, text.encode("utf-16-le"))


def _shape(kind: int, text: str, *, placeholder: int = 0) -> bytes:
    data = record(0x0BC3, struct.pack("<iBBH", 0, placeholder, 0, 0)) if placeholder else b""
    box = record(0x0F9F, struct.pack("<I", kind)) + _text(text)
    return record(0xF004, record(0xF011, data, container=True) + record(0xF00D, box, container=True), container=True)


def _outline_shape(place: int) -> bytes:
    return record(0xF004, record(0xF00D, record(0x0F9E, struct.pack("<I", place)), container=True), container=True)


@dataclass
class OutlookMessage:
    """A message as Outlook saves it."""

    subject: str = "Subject"
    body: str = ""
    html: str = ""
    sender: tuple[str, str] = ("Ada Lovelace", "ada@example.com")
    to: Sequence[tuple[str, str]] = (("Charles Babbage", "charles@example.com"),)
    cc: Sequence[tuple[str, str]] = ()
    files: Sequence[tuple[str, str, bytes]] = ()
    nested: Sequence[OutlookMessage] = ()
    packed_rtf: bytes = b""
    kind: str = "IPM.Note"
    code_page: int = 0
    sent: dt.datetime = field(default=dt.datetime(2026, 3, 14, 15, 9, tzinfo=dt.UTC))


def make_msg(message: OutlookMessage) -> bytes:
    return make_ole(_message(message, header=32))


def _message(message: OutlookMessage, *, header: int) -> Tree:
    ticks = int((message.sent - dt.datetime(1601, 1, 1, tzinfo=dt.UTC)).total_seconds()) * 10_000_000
    fixed = [_fixed(0x0039, 0x40, ticks)]
    texts = {"001A": message.kind, "0037": message.subject, "1000": message.body}
    texts |= {"0C1A": message.sender[0], "5D01": message.sender[1]}
    tree: dict[str, bytes | Tree]
    if message.code_page:
        fixed.append(_fixed(0x3FDE, 3, message.code_page))
        encoding = f"cp{message.code_page}"
        tree = {f"__substg1.0_{key}001E": text.encode(encoding) for key, text in texts.items() if text}
    else:
        tree = dict(_texts(texts))
        encoding = "utf-8"
    if message.html:
        tree["__substg1.0_10130102"] = message.html.encode(encoding)
    if message.packed_rtf:
        tree["__substg1.0_10090102"] = message.packed_rtf
    tree["__properties_version1.0"] = bytes(header) + b"".join(fixed)
    people = [(1, *person) for person in message.to] + [(2, *person) for person in message.cc]
    for number, (kind, name, address) in enumerate(people):
        tree[f"__recip_version1.0_#{number:08X}"] = {
            "__properties_version1.0": bytes(8) + _fixed(0x0C15, 3, kind),
            **_texts({"3001": name, "39FE": address}),
        }
    for number, (name, media_type, content) in enumerate(message.files):
        tree[f"__attach_version1.0_#{number:08X}"] = {
            "__properties_version1.0": bytes(8),
            **_texts({"3707": name, "370E": media_type}),
            "__substg1.0_37010102": content,
        }
    for number, nested in enumerate(message.nested, start=len(message.files)):
        tree[f"__attach_version1.0_#{number:08X}"] = {
            "__properties_version1.0": bytes(8),
            "__substg1.0_3701000D": _message(nested, header=24),
        }
    return tree


def _texts(texts: Mapping[str, str]) -> dict[str, bytes | Tree]:
    return {f"__substg1.0_{key}001F": text.encode("utf-16-le") for key, text in texts.items() if text}


def _fixed(identifier: int, kind: int, value: int) -> bytes:
    return struct.pack("<HHIQ", kind, identifier, 6, value)
