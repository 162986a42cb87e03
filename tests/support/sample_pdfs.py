"""PDF files that are built by hand: forms, notes, right-to-left scripts, scans, and hostile files."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Sequence
from typing import Final

import pypdfium2 as pdfium

_HELVETICA: Final = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"


class PdfFile:
    """Collects the objects of a PDF and writes them.

    Object 2 is the page tree, and Helvetica is `/F1` on every page.
    """

    def __init__(self) -> None:
        self._objects: list[bytes] = [b"", b"", _HELVETICA]
        self._pages: list[int] = []
        self._fonts = {"F1": 3}
        self._catalog = b""
        self._trailer = b""

    def add(self, body: bytes) -> int:
        """Add an object and return its number."""
        self._objects.append(body)
        return len(self._objects)

    def add_stream(self, data: bytes, entries: bytes = b"") -> int:
        return self.add(b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data))

    def add_page(
        self, content: bytes, *, annotations: Sequence[int] = (), entries: bytes = b"", resources: bytes = b""
    ) -> int:
        """Add a page of US letter size; it can use the fonts that were added before it."""
        fonts = b"".join(b"/%s %d 0 R" % (name.encode(), number) for name, number in self._fonts.items())
        kids = b" ".join(b"%d 0 R" % number for number in annotations)
        page = self.add(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<<%s>>%s>>/Contents %d 0 R"
            b"/Annots[%s]%s>>" % (fonts, resources, self.add_stream(content), kids, entries)
        )
        self._pages.append(page)
        return page

    def add_font(self, name: str, characters: str, *, unicode_map: bool = True) -> None:
        """Add a font whose glyphs are half as wide as high; `glyphs_of` encodes a text in it."""
        mapping = b"\n".join(
            b"<%04X> <%s>" % (number, character.encode("utf-16-be").hex().encode())
            for number, character in enumerate(characters, start=1)
        )
        to_unicode = self.add_stream(
            b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def"
            b" 1 begincodespacerange <0000> <FFFF> endcodespacerange\n%d beginbfchar\n%s\nendbfchar endcmap end end"
            % (len(characters), mapping)
        )
        descriptor = self.add(
            b"<</Type/FontDescriptor/FontName/Foo/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 900"
            b"/Descent -200/CapHeight 700/StemV 80>>"
        )
        descendant = self.add(
            b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Foo/CIDSystemInfo"
            b"<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/FontDescriptor %d 0 R/DW 500>>" % descriptor
        )
        self._fonts[name] = self.add(
            b"<</Type/Font/Subtype/Type0/BaseFont/Foo/Encoding/Identity-H/DescendantFonts[%d 0 R]%s>>"
            % (descendant, b"/ToUnicode %d 0 R" % to_unicode if unicode_map else b"")
        )

    def set_catalog(self, entries: bytes) -> None:
        self._catalog = entries

    def set_trailer(self, entries: bytes) -> None:
        self._trailer = entries

    def set_pages(self, body: bytes) -> None:
        """Replace the page tree, which otherwise has the pages in the order in which they were added."""
        self._objects[1] = body

    def to_bytes(self) -> bytes:
        objects = list(self._objects)
        objects[0] = b"<</Type/Catalog/Pages 2 0 R%s>>" % self._catalog
        kids = b" ".join(b"%d 0 R" % number for number in self._pages)
        objects[1] = objects[1] or b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(self._pages), kids)
        file = io.BytesIO()
        file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        offsets = []
        for number, body in enumerate(objects, start=1):
            offsets.append(file.tell())
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
        table = file.tell()
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
        file.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
        file.write(
            b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, self._trailer, table)
        )
        return file.getvalue()


def lines(text: str, *, left: float = 50, top: float = 740, size: float = 11) -> bytes:
    """Return the content of a page that shows the lines of `text`, which has only characters of cp1252."""
    shown = b" ".join(b"(%s) Tj T*" % _escaped(line.encode("cp1252")) for line in text.split("\n"))
    return b"BT /F1 %g Tf %g TL %g %g Td %s ET\n" % (size, 1.3 * size, left, top, shown)


def glyphs_of(text: str, characters: str) -> bytes:
    """Return the codes of `text` in a font that was added with `characters`."""
    return b"<%s>" % b"".join(b"%04X" % (characters.index(character) + 1) for character in text)


def endless_forms() -> bytes:
    """Return a file whose page shows a form, which shows ten, and so on: a million million in all."""
    file = PdfFile()
    inner = file.add_stream(b"BT /F1 9 Tf (lol) Tj ET", b"/Type/XObject/Subtype/Form/BBox[0 0 99 99]")
    for _ in range(12):
        inner = file.add_stream(
            b"/X Do " * 10,
            b"/Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<</XObject<</X %d 0 R>>>>" % inner,
        )
    file.add_page(b"/X Do", resources=b"/XObject<</X %d 0 R>>" % inner)
    return file.to_bytes()


def scan(gray: bytes, *, width: int, height: int, before: bytes | None = None) -> PdfFile:
    """Return a file with a page that is a picture; a text page with the content `before` can stand in front of it.

    `gray` has one byte for each pixel.
    """
    file = PdfFile()
    if before is not None:
        file.add_page(before)
    picture = file.add_stream(
        zlib.compress(gray),
        b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode"
        % (width, height),
    )
    file.add_page(b"q 612 0 0 792 0 0 cm /P Do Q", resources=b"/XObject<</P %d 0 R>>" % picture)
    return file


def scan_of(page: bytes, *, before: bytes | None = None) -> PdfFile:
    """Return a file like that of `scan`, whose picture shows a page with the content `page`."""
    file = PdfFile()
    file.add_page(page)
    with contextlib.closing(pdfium.PdfDocument(file.to_bytes())) as document:
        pixels = document[0].render(scale=2, grayscale=True).to_numpy()
    return scan(pixels.tobytes(), width=pixels.shape[1], height=pixels.shape[0], before=before)


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")
