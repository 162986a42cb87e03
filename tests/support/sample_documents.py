"""Write the office documents and the scan in `samples/`. Run it from the project's root after a change of their text:

    PYTHONPATH=tests python -m support.sample_documents

The other samples are text and are edited by hand; the handbook was printed to a PDF once. Everything is about one
invented company, and `tests/query/test_samples.py` asks questions about it.
"""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import pypdfium2

from support.sample_files import make_pdf, pdf_file

SAMPLES: Final = Path(__file__).resolve().parents[2] / "samples"

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_DRAWING: Final = "http://schemas.openxmlformats.org/drawingml/2006/main"
_PRESENTATION: Final = "http://schemas.openxmlformats.org/presentationml/2006/main"
_SHEET: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def maintenance_agreement() -> bytes:
    """Return a Word document with headings, a bulleted list and a table."""
    body = [
        _word_paragraph("Maintenance agreement", style="Title"),
        _word_paragraph(
            "This agreement covers robots of the series NR-3 and NR-5 that Northwind Robotics has delivered and "
            "installed."
        ),
        _word_paragraph("Term and notice", style="Heading1"),
        _word_paragraph(
            "The agreement runs for 24 months. It is extended by twelve months at a time, unless one side gives notice "
            "in writing at least 60 days before it ends."
        ),
        _word_paragraph("Scope", style="Heading1"),
        _word_paragraph("The yearly fee includes:"),
        _word_paragraph("two inspections a year, each of at most one working day;", bullet=True),
        _word_paragraph("software updates for the controller and the teach pendant;", bullet=True),
        _word_paragraph("the travel costs of our technicians within the European Union.", bullet=True),
        _word_paragraph("Grippers and suction cups are wear parts. They are not included in the fee."),
        _word_paragraph("Service intervals", style="Heading1"),
        _word_table(
            [
                ("Component", "Interval", "Work"),
                ("Gearbox", "20,000 hours", "change the oil"),
                ("Encoder cable", "12 months", "check the seal"),
                ("Brake", "6 months", "measure the holding torque"),
                ("Backup battery", "36 months", "replace it"),
            ]
        ),
        _word_paragraph("Liability", style="Heading1"),
        _word_paragraph(
            "Northwind Robotics is liable for damage up to 250,000 euros a year. Lost production is not compensated."
        ),
        _word_paragraph("Helena Brandt, managing director, signed this agreement in Freiburg on 2 February 2026."),
    ]
    headings = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name.replace(" ", "")}"><w:name w:val="{name.lower()}"/>'
        f'<w:pPr><w:keepNext/><w:spacing w:before="240" w:after="80"/>{level}</w:pPr>'
        f'<w:rPr><w:b/><w:sz w:val="{size}"/></w:rPr></w:style>'
        for name, level, size in (("Title", "", 40), ("Heading 1", '<w:outlineLvl w:val="0"/>', 28))
    )
    return _package(
        "word/document.xml",
        f"{_OFFICE}.wordprocessingml.document.main+xml",
        {
            "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{"".join(body)}</w:body></w:document>',
            "word/styles.xml": f'<w:styles xmlns:w="{_WORD}">{headings}</w:styles>',
            "word/numbering.xml": (
                f'<w:numbering xmlns:w="{_WORD}"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0">'
                '<w:start w:val="1"/><w:numFmt w:val="bullet"/><w:lvlText w:val="\u2022"/><w:lvlJc w:val="left"/>'
                '<w:pPr><w:ind w:left="720" w:hanging="360"/></w:pPr></w:lvl></w:abstractNum>'
                '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
            ),
        },
        types={
            "word/styles.xml": f"{_OFFICE}.wordprocessingml.styles+xml",
            "word/numbering.xml": f"{_OFFICE}.wordprocessingml.numbering+xml",
        },
        relations={"word/document.xml": [("styles", "styles.xml"), ("numbering", "numbering.xml")]},
    )


def spare_parts() -> bytes:
    """Return a workbook with two sheets."""
    sheets: dict[str, list[tuple[str | float, ...]]] = {
        "Parts": [
            ("Part number", "Part", "Price in euros", "In stock", "Delivery time"),
            ("NR-1042", "Encoder cable", 86, 14, "2 days"),
            ("NR-1077", "Suction cup", 12.5, 230, "1 day"),
            ("NR-2210", "Gearbox oil, 1 litre", 34, 48, "3 days"),
            ("NR-3300", "Teach pendant", 1190, 3, "3 weeks"),
            ("NR-3415", "Brake disc", 275, 0, "6 weeks"),
        ],
        "Warehouses": [
            ("Warehouse", "Country", "Manager", "Opening hours"),
            ("Freiburg", "Germany", "Tomasz Wolski", "7:00 to 19:00"),
            ("Lyon", "France", "Claire Dumas", "8:00 to 17:00"),
            ("Gdansk", "Poland", "Ewa Lis", "6:00 to 22:00"),
        ],
    }
    names = [f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)]
    listed = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>' for number, name in enumerate(sheets, start=1)
    )
    return _package(
        "xl/workbook.xml",
        f"{_OFFICE}.spreadsheetml.sheet.main+xml",
        {
            "xl/workbook.xml": (
                f'<workbook xmlns="{_SHEET}" xmlns:r="{_RELATIONS}"><sheets>{listed}</sheets></workbook>'
            ),
            **{f"xl/{name}": _worksheet(rows) for name, rows in zip(names, sheets.values(), strict=True)},
        },
        types={f"xl/{name}": f"{_OFFICE}.spreadsheetml.worksheet+xml" for name in names},
        relations={"xl/workbook.xml": [("worksheet", name) for name in names]},
    )


def product_roadmap() -> bytes:
    """Return a deck of four slides, two of them with notes."""
    slides: list[tuple[str, Sequence[str], str]] = [
        ("Product roadmap 2026", ["Northwind Robotics, spring meeting, 21 April 2026"], ""),
        (
            "The NR-5 arm",
            [
                "The NR-5 lifts 12 kilograms, four more than the NR-3.",
                "The first units ship in September 2026.",
                "Its warranty lasts three years.",
            ],
            "The price of the NR-5 will be announced in July.",
        ),
        (
            "Customers",
            [
                "Northwind Robotics serves 64 customers in 11 countries.",
                "The largest customer, Baltic Foods, runs 140 robots.",
            ],
            "Baltic Foods has asked for a service team of its own.",
        ),
        ("Hall 4", ["Hall 4 opens in November 2026 and has room for 60 assembly places."], ""),
    ]
    parts = {
        "ppt/theme/theme1.xml": _theme(),
        "ppt/slideMasters/slideMaster1.xml": _slide_part(
            "sldMaster",
            "",
            '<p:clrMap bg1="lt1" tx1="dk1" bg2="lt2" tx2="dk2" accent1="accent1" accent2="accent2" accent3="accent3" '
            'accent4="accent4" accent5="accent5" accent6="accent6" hlink="hlink" folHlink="folHlink"/>'
            '<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/></p:sldLayoutIdLst>',
        ),
        "ppt/slideLayouts/slideLayout1.xml": _slide_part("sldLayout", ""),
        "ppt/notesMasters/notesMaster1.xml": _slide_part(
            "notesMaster",
            "",
            '<p:clrMap bg1="lt1" tx1="dk1" bg2="lt2" tx2="dk2" accent1="accent1" accent2="accent2" accent3="accent3" '
            'accent4="accent4" accent5="accent5" accent6="accent6" hlink="hlink" folHlink="folHlink"/>',
        ),
        "ppt/theme/theme2.xml": _theme(),
    }
    relations = {
        "ppt/presentation.xml": [
            ("slideMaster", "slideMasters/slideMaster1.xml"),
            ("notesMaster", "notesMasters/notesMaster1.xml"),
        ],
        "ppt/slideMasters/slideMaster1.xml": [
            ("slideLayout", "../slideLayouts/slideLayout1.xml"),
            ("theme", "../theme/theme1.xml"),
        ],
        "ppt/slideLayouts/slideLayout1.xml": [("slideMaster", "../slideMasters/slideMaster1.xml")],
        "ppt/notesMasters/notesMaster1.xml": [("theme", "../theme/theme2.xml")],
    }
    listed = ""
    for number, (title, lines, notes) in enumerate(slides, start=1):
        name = f"slides/slide{number}.xml"
        relations["ppt/presentation.xml"].append(("slide", name))
        listed += f'<p:sldId id="{255 + number}" r:id="rId{len(relations["ppt/presentation.xml"])}"/>'
        parts[f"ppt/{name}"] = _slide_part("sld", _shape(2, "title", [title]) + _shape(3, "body", lines))
        relations[f"ppt/{name}"] = [("slideLayout", "../slideLayouts/slideLayout1.xml")]
        if notes:
            relations[f"ppt/{name}"].append(("notesSlide", f"../notesSlides/notesSlide{number}.xml"))
            parts[f"ppt/notesSlides/notesSlide{number}.xml"] = _slide_part("notes", _shape(2, "body", [notes]))
            relations[f"ppt/notesSlides/notesSlide{number}.xml"] = [
                ("slide", f"../{name}"),
                ("notesMaster", "../notesMasters/notesMaster1.xml"),
            ]
    parts["ppt/presentation.xml"] = (
        f'<p:presentation xmlns:p="{_PRESENTATION}" xmlns:r="{_RELATIONS}">'
        '<p:sldMasterIdLst><p:sldMasterId id="2147483648" r:id="rId1"/></p:sldMasterIdLst>'
        '<p:notesMasterIdLst><p:notesMasterId r:id="rId2"/></p:notesMasterIdLst>'
        f"<p:sldIdLst>{listed}</p:sldIdLst>"
        '<p:sldSz cx="9144000" cy="6858000"/><p:notesSz cx="6858000" cy="9144000"/></p:presentation>'
    )
    kinds = {
        "slides": "slide",
        "slideMasters": "slideMaster",
        "slideLayouts": "slideLayout",
        "notesSlides": "notesSlide",
        "notesMasters": "notesMaster",
    }
    types = {
        name: (
            f"{_OFFICE}.theme+xml" if "/theme/" in name else f"{_OFFICE}.presentationml.{kinds[name.split('/')[1]]}+xml"
        )
        for name in parts
        if name != "ppt/presentation.xml"
    }
    main = f"{_OFFICE}.presentationml.presentation.main+xml"
    return _package("ppt/presentation.xml", main, parts, types=types, relations=relations)


def scanned_delivery_note() -> bytes:
    """Return a PDF of one page that is a picture: only character recognition can read it."""
    printed = make_pdf(
        [
            (
                "\n\n    Northwind Robotics\n    Delivery note 88317\n\n"
                "    Delivered to Baltic Foods in Gdynia on 5 March 2026.\n\n"
                "    The delivery holds six encoder cables and forty suction cups.\n\n"
                "    The goods were received by Paulina Zielinska.\n"
            )
        ]
    )
    with pypdfium2.PdfDocument(printed) as document:
        picture = document[0].render(scale=2, grayscale=True).to_numpy()
    height, width = picture.shape[:2]
    pixels = zlib.compress(picture.reshape(height, width).tobytes(), 9)
    drawing = b"q 612 0 0 792 0 0 cm /Scan Do Q"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</Scan 5 0 R>>>>/Contents 4 0 R>>",
        b"<</Length %d>>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
        b"/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream" % (width, height, len(pixels), pixels),
    ]
    return pdf_file(objects)


DOCUMENTS: Final[Mapping[str, Callable[[], bytes]]] = {
    "maintenance-agreement.docx": maintenance_agreement,
    "spare-parts.xlsx": spare_parts,
    "product-roadmap.pptx": product_roadmap,
    "scanned/delivery-note.pdf": scanned_delivery_note,
}


def _word_paragraph(text: str, *, style: str = "", bullet: bool = False) -> str:
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if bullet:
        properties += '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    return f'<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def _word_table(rows: Sequence[Sequence[str]]) -> str:
    sides = "".join(
        f'<w:{side} w:val="single" w:sz="4"/>' for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    grid = '<w:gridCol w:w="3000"/>' * len(rows[0])
    lines = []
    for number, row in enumerate(rows):
        repeated = "" if number else "<w:trPr><w:tblHeader/></w:trPr>"
        cells = "".join(
            f'<w:tc><w:tcPr><w:tcW w:w="3000" w:type="dxa"/></w:tcPr>{_word_paragraph(cell)}</w:tc>' for cell in row
        )
        lines.append(f"<w:tr>{repeated}{cells}</w:tr>")
    return (
        f'<w:tbl><w:tblPr><w:tblW w:w="0" w:type="auto"/><w:tblBorders>{sides}</w:tblBorders></w:tblPr>'
        f"<w:tblGrid>{grid}</w:tblGrid>{''.join(lines)}</w:tbl>"
    )


def _worksheet(rows: Iterable[Sequence[str | float]]) -> str:
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(_cell(f"{chr(ord('A') + column)}{number}", value) for column, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    return f'<worksheet xmlns="{_SHEET}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def _cell(place: str, value: str | float) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def _slide_part(element: str, shapes: str, rest: str = "") -> str:
    return (
        f'<p:{element} xmlns:p="{_PRESENTATION}" xmlns:a="{_DRAWING}" xmlns:r="{_RELATIONS}"><p:cSld><p:spTree>'
        '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        f"{shapes}</p:spTree></p:cSld>{rest}</p:{element}>"
    )


def _shape(number: int, kind: str, lines: Iterable[str]) -> str:
    index = "" if kind == "title" else 'idx="1"'
    top, height = (300_000, 1_000_000) if kind == "title" else (1_500_000, 4_500_000)
    paragraphs = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in lines)
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="{kind} {number}"/><p:cNvSpPr/>'
        f'<p:nvPr><p:ph type="{kind}" {index}/></p:nvPr></p:nvSpPr><p:spPr><a:xfrm>'
        f'<a:off x="600000" y="{top}"/><a:ext cx="7900000" cy="{height}"/></a:xfrm></p:spPr>'
        f"<p:txBody><a:bodyPr/>{paragraphs}</p:txBody></p:sp>"
    )


def _theme() -> str:
    colours = {
        "dk1": "000000",
        "lt1": "FFFFFF",
        "dk2": "1F3044",
        "lt2": "EEEEEE",
        "hlink": "0563C1",
        "folHlink": "954F72",
    }
    colours |= {f"accent{number}": "2E75B6" for number in range(1, 7)}
    order = ("dk1", "lt1", "dk2", "lt2", *(f"accent{number}" for number in range(1, 7)), "hlink", "folHlink")
    scheme = "".join(f'<a:{name}><a:srgbClr val="{colours[name]}"/></a:{name}>' for name in order)
    font = '<a:latin typeface="Calibri"/><a:ea typeface=""/><a:cs typeface=""/>'
    fill = '<a:solidFill><a:schemeClr val="phClr"/></a:solidFill>'
    effect = "<a:effectStyle><a:effectLst/></a:effectStyle>"
    return (
        f'<a:theme xmlns:a="{_DRAWING}" name="Plain"><a:themeElements><a:clrScheme name="Plain">{scheme}</a:clrScheme>'
        f'<a:fontScheme name="Plain"><a:majorFont>{font}</a:majorFont><a:minorFont>{font}</a:minorFont></a:fontScheme>'
        f'<a:fmtScheme name="Plain"><a:fillStyleLst>{fill * 3}</a:fillStyleLst>'
        f"<a:lnStyleLst>{f'<a:ln>{fill}</a:ln>' * 3}</a:lnStyleLst><a:effectStyleLst>{effect * 3}</a:effectStyleLst>"
        f"<a:bgFillStyleLst>{fill * 3}</a:bgFillStyleLst></a:fmtScheme></a:themeElements></a:theme>"
    )


def _package(
    main: str,
    main_type: str,
    parts: Mapping[str, str],
    *,
    types: Mapping[str, str],
    relations: Mapping[str, Sequence[tuple[str, str]]],
) -> bytes:
    """Return a package whose bytes depend on its parts alone."""
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in {main: main_type, **types}.items()
    )
    content_types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f"{overrides}</Types>"
    )
    files = {"[Content_Types].xml": content_types, "_rels/.rels": _relation_list([("officeDocument", main)]), **parts}
    for name, targets in relations.items():
        folder, _, file_name = name.rpartition("/")
        files[f"{folder}/_rels/{file_name}.rels"] = _relation_list(targets)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in files.items():
            # ZipInfo has a fixed date, so that a second run writes the same file
            archive.writestr(zipfile.ZipInfo(name), _XML + content, zipfile.ZIP_DEFLATED)
    return package.getvalue()


def _relation_list(targets: Iterable[tuple[str, str]]) -> str:
    entries = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def main() -> None:
    for name, make in DOCUMENTS.items():
        path = SAMPLES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
        sys.stdout.write(f"{path.relative_to(SAMPLES.parent)}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
