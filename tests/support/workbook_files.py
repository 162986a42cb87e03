"""Excel workbooks that are built by hand, with the parts that a test needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from support.sample_files import make_zip

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
NAMESPACES: Final = f'xmlns="{_MAIN}" xmlns:r="{_OFFICE}"'
_STRICT: Final = (
    (_MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main"),
    (_OFFICE, "http://purl.oclc.org/ooxml/officeDocument/relationships"),
)


@dataclass
class Sheet:
    """A sheet. `before` and `behind` are the XML around its rows; `relations` (id, kind, target) link it to parts."""

    rows: str = ""
    name: str = "Sheet1"
    state: str = "visible"
    before: str = ""
    behind: str = ""
    relations: Sequence[tuple[str, str, str]] = field(default_factory=list)


def text_cell(reference: str, text: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def rows(lines: Sequence[Sequence[str | float | None]], *, first: int = 1) -> str:
    """Make rows of texts and numbers; a line without cells makes no row."""
    made = []
    for number, line in enumerate(lines, start=first):
        cells = [
            text_cell(f"{chr(65 + place)}{number}", value)
            if isinstance(value, str)
            else f'<c r="{chr(65 + place)}{number}"><v>{value}</v></c>'
            for place, value in enumerate(line)
            if value is not None
        ]
        made.append(f'<row r="{number}">{"".join(cells)}</row>' if cells else "")
    return "".join(made)


def worksheet(sheet: Sheet) -> str:
    return f"{_XML}<worksheet {NAMESPACES}>{sheet.before}<sheetData>{sheet.rows}</sheetData>{sheet.behind}</worksheet>"


def make_workbook(
    sheets: Sequence[Sheet],
    *,
    formats: Sequence[str] = (),
    strings: Sequence[str] = (),
    parts: Mapping[str, str] | None = None,
    relations: Sequence[tuple[str, str, str]] = (),
    epoch_1904: bool = False,
    kind: str = "sheet.main+xml",
    strict: bool = False,
) -> bytes:
    """Make a workbook. Style 0 is General, and style n is the nth of `formats`; `strings` are shared strings as XML."""
    entries = "".join(
        f'<sheet name={quoteattr(sheet.name)} sheetId="{place}" state="{sheet.state}" r:id="s{place}"/>'
        for place, sheet in enumerate(sheets, start=1)
    )
    codes = "".join(f'<numFmt numFmtId="{200 + n}" formatCode={quoteattr(code)}/>' for n, code in enumerate(formats))
    styles = "".join(f'<xf numFmtId="{200 + n}"/>' for n in range(len(formats)))
    links = [(f"s{place}", "worksheet", f"worksheets/sheet{place}.xml") for place in range(1, len(sheets) + 1)]
    links += [("styles", "styles", "styles.xml"), ("strings", "sharedStrings", "sharedStrings.xml"), *relations]
    files = {
        "[Content_Types].xml": (
            f'{_XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName='
            f'"/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.{kind}"/>'
            "</Types>"
        ),
        "_rels/.rels": _relations([("rId1", "officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": (
            f'{_XML}<workbook {NAMESPACES}><workbookPr date1904="{int(epoch_1904)}"/>'
            f"<sheets>{entries}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": _relations(links),
        "xl/styles.xml": (
            f'{_XML}<styleSheet {NAMESPACES}><numFmts>{codes}</numFmts><cellXfs><xf numFmtId="0"/>{styles}</cellXfs>'
            "</styleSheet>"
        ),
        "xl/sharedStrings.xml": f"{_XML}<sst {NAMESPACES}>{''.join(f'<si>{text}</si>' for text in strings)}</sst>",
    }
    for place, sheet in enumerate(sheets, start=1):
        files[f"xl/worksheets/sheet{place}.xml"] = worksheet(sheet)
        files[f"xl/worksheets/_rels/sheet{place}.xml.rels"] = _relations(sheet.relations)
    files |= parts or {}
    if strict:
        for old, new in _STRICT:
            files = {name: content.replace(old, new) for name, content in files.items()}
    return make_zip(files)


def _relations(links: Sequence[tuple[str, str, str]]) -> str:
    entries = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for name, kind, target in links
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE}">{entries}</Relationships>'
