"""Small files of many formats that are built by hand: ordinary ones, and hostile ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from functools import cache
from typing import Final
from xml.sax.saxutils import escape

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_DRAWING: Final = "http://schemas.openxmlformats.org/drawingml/2006/main"
_WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PRESENTATION: Final = "http://schemas.openxmlformats.org/presentationml/2006/main"
_SHEET: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OPEN_DOCUMENT: Final = "urn:oasis:names:tc:opendocument:xmlns"
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def make_pdf(pages: Sequence[str]) -> bytes:
    """Make a PDF with one page for each string; the text may use the characters of cp1252."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode())
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    for number, page in enumerate(pages):
        content = _pdf_content(page)
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
            % (5 + 2 * number)
        )
        objects.append(b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content))
    return pdf_file(objects)


def pdf_file(objects: Sequence[bytes]) -> bytes:
    """Return a PDF of these objects, which are numbered from 1; the first is the catalog."""
    file = io.BytesIO()
    file.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    file.write(b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return file.getvalue()


def _pdf_content(page: str) -> bytes:
    lines = [b"BT /F1 11 Tf 14 TL 50 740 Td"]
    for line in page.split("\n") if page else ():
        text = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        lines.append(b"(%s) Tj T*" % text.encode("cp1252"))
    lines.append(b"ET")
    return b"\n".join(lines)


def make_zip(parts: Mapping[str, str | bytes], *, stored: Sequence[str] = ()) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content, zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED)
    return file.getvalue()


def make_docx(paragraphs: Sequence[str]) -> bytes:
    body = "".join(f'<w:p><w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>' for text in paragraphs)
    document = f'{_XML}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    return make_zip(
        {
            "[Content_Types].xml": _content_types(
                {"/word/document.xml": f"{_OFFICE}.wordprocessingml.document.main+xml"}
            ),
            "_rels/.rels": _relations([("officeDocument", "word/document.xml")]),
            "word/document.xml": document,
        }
    )


def make_pptx(slides: Sequence[str]) -> bytes:
    """Make a presentation with one slide for each string; each line becomes a paragraph of its only text box."""
    names = [f"slides/slide{number}.xml" for number in range(1, len(slides) + 1)]
    ids = "".join(f'<p:sldId id="{255 + number}" r:id="rId{number}"/>' for number in range(1, len(slides) + 1))
    parts = {
        "[Content_Types].xml": _content_types(
            {"/ppt/presentation.xml": f"{_OFFICE}.presentationml.presentation.main+xml"}
            | {f"/ppt/{name}": f"{_OFFICE}.presentationml.slide+xml" for name in names}
        ),
        "_rels/.rels": _relations([("officeDocument", "ppt/presentation.xml")]),
        "ppt/presentation.xml": (
            f'{_XML}<p:presentation xmlns:p="{_PRESENTATION}" xmlns:r="{_RELATIONS}">'
            f"<p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": _relations([("slide", name) for name in names]),
    }
    for name, slide in zip(names, slides, strict=True):
        lines = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in slide.split("\n"))
        parts[f"ppt/{name}"] = (
            f'{_XML}<p:sld xmlns:p="{_PRESENTATION}" xmlns:a="{_DRAWING}"><p:cSld><p:spTree><p:nvGrpSpPr>'
            '<p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/><p:sp><p:nvSpPr>'
            '<p:cNvPr id="2" name="Text"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
            f"<p:txBody><a:bodyPr/>{lines}</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
        )
    return make_zip(parts)


def make_xlsx(rows: Sequence[Sequence[str | float]]) -> bytes:
    """Make a workbook with one sheet, named Sheet1."""
    xml_rows = "".join(
        f'<row r="{number}">' + "".join(_cell(value, column, number) for column, value in enumerate(row)) + "</row>"
        for number, row in enumerate(rows, start=1)
    )
    return make_zip(
        {
            "[Content_Types].xml": _content_types(
                {
                    "/xl/workbook.xml": f"{_OFFICE}.spreadsheetml.sheet.main+xml",
                    "/xl/worksheets/sheet1.xml": f"{_OFFICE}.spreadsheetml.worksheet+xml",
                }
            ),
            "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
            "xl/workbook.xml": (
                f'{_XML}<workbook xmlns="{_SHEET}" xmlns:r="{_RELATIONS}"><sheets>'
                '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>'
            ),
            "xl/_rels/workbook.xml.rels": _relations([("worksheet", "worksheets/sheet1.xml")]),
            "xl/worksheets/sheet1.xml": (
                f'{_XML}<worksheet xmlns="{_SHEET}"><sheetData>{xml_rows}</sheetData></worksheet>'
            ),
        }
    )


def _cell(value: str | float, column: int, row: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    if isinstance(value, str):
        return f'<c r="{letters}{row}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{letters}{row}"><v>{value}</v></c>'


def make_odt(paragraphs: Sequence[str]) -> bytes:
    media_type = "application/vnd.oasis.opendocument.text"
    body = "".join(f"<text:p>{escape(text)}</text:p>" for text in paragraphs)
    return make_zip(
        {
            "mimetype": media_type,
            "META-INF/manifest.xml": (
                f'{_XML}<manifest:manifest xmlns:manifest="{_OPEN_DOCUMENT}:manifest:1.0">'
                f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{media_type}"/></manifest:manifest>'
            ),
            "content.xml": (
                f'{_XML}<office:document-content xmlns:office="{_OPEN_DOCUMENT}:office:1.0"'
                f' xmlns:text="{_OPEN_DOCUMENT}:text:1.0"><office:body><office:text>{body}</office:text></office:body>'
                "</office:document-content>"
            ),
        },
        stored=["mimetype"],
    )


def make_epub(chapters: Sequence[str]) -> bytes:
    numbers = range(1, len(chapters) + 1)
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in numbers)
    spine = "".join(f'<itemref idref="c{n}"/>' for n in numbers)
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            f'{_XML}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        "book.opf": (
            f'{_XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">1</dc:identifier>'
            f"<dc:title>Book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
        ),
    }
    for number, chapter in enumerate(chapters, start=1):
        parts[f"c{number}.xhtml"] = (
            f'{_XML}<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Chapter</title></head>'
            f"<body><p>{escape(chapter)}</p></body></html>"
        )
    return make_zip(parts, stored=["mimetype"])


def make_rtf(paragraphs: Sequence[str]) -> bytes:
    def coded(text: str) -> str:
        return "".join(c if c.isascii() else f"\\u{ord(c)}?" for c in text)

    return (r"{\rtf1\ansi\deff0 " + r"\par ".join(coded(text) for text in paragraphs) + "}").encode("ascii")


def make_eml(subject: str, body: str, *, html: str = "", attachment: bytes = b"") -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada Lovelace <ada@example.com>"
    message["To"] = "Charles Babbage <charles@example.com>"
    if body:
        message.set_content(body)
    if html:
        (message.add_alternative if body else message.set_content)(html, subtype="html")
    if attachment:
        message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="figures.bin")
    return message.as_bytes()


@cache
def make_docx_bomb(unpacked_megabytes: int) -> bytes:
    """Make a Word file of one endless paragraph, which unpacks to a thousand times its size."""
    return _as_docx(b"<w:t>" + b"a" * (unpacked_megabytes * 1024**2) + b"</w:t>")


def make_lying_docx_bomb(unpacked_megabytes: int) -> bytes:
    """Make the same file with zip headers that declare only a thousand bytes."""
    bomb = bytearray(make_docx_bomb(unpacked_megabytes))
    with zipfile.ZipFile(io.BytesIO(bomb)) as package:
        size = package.getinfo("word/document.xml").file_size.to_bytes(4, "little")
    while (position := bomb.find(size)) >= 0:
        bomb[position : position + 4] = (1000).to_bytes(4, "little")
    return bytes(bomb)


def make_entity_bomb() -> bytes:
    """Make a Word file whose XML entities expand to gigabytes."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    head = f'{_XML}<!DOCTYPE d [<!ENTITY e0 "lol">{entities}]>'
    document = (
        f'{head}<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>&e9;</w:t></w:r></w:p></w:body></w:document>'
    )
    return _docx_with(document.encode())


def make_encrypted_office_file() -> bytes:
    """Make a file as Word saves it with a password: an OLE file with the stream EncryptedPackage, not a zip."""
    return OLE_MAGIC + b"\x00" * 504 + "EncryptedPackage\x00".encode("utf-16-le") + b"\x00" * 1024


def make_old_word_file() -> bytes:
    return OLE_MAGIC + b"\x00" * 504 + "WordDocument\x00".encode("utf-16-le") + b"\x00" * 1024


def _as_docx(text: bytes) -> bytes:
    return _docx_with(f'{_XML}<w:document xmlns:w="{_WORD}">'.encode() + text + b"</w:document>")


def _docx_with(document: bytes) -> bytes:
    return make_zip(
        {
            "[Content_Types].xml": _content_types(
                {"/word/document.xml": f"{_OFFICE}.wordprocessingml.document.main+xml"}
            ),
            "word/document.xml": document,
        }
    )


def _content_types(parts: Mapping[str, str]) -> str:
    overrides = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    return (
        f'{_XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    entries = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE_RELATIONS}">{entries}</Relationships>'
