"""PowerPoint presentations that are built by hand, with the parts that a test needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

from support.sample_files import make_zip

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
NAMESPACES: Final = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{_OFFICE}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"'
)
_STRICT: Final = (
    ("http://schemas.openxmlformats.org/presentationml/2006/main", "http://purl.oclc.org/ooxml/presentationml/main"),
    ("http://schemas.openxmlformats.org/drawingml/2006/main", "http://purl.oclc.org/ooxml/drawingml/main"),
    (_OFFICE, "http://purl.oclc.org/ooxml/officeDocument/relationships"),
)
Relations = Sequence[tuple[str, str, str]]


@dataclass
class Slide:
    """A slide. `relations` (id, kind, target) link it to further parts of the file."""

    shapes: str = ""
    notes: str = ""
    hidden: bool = False
    relations: Relations = field(default_factory=list)


def paragraph(text: str, properties: str = "") -> str:
    return f'<a:p>{properties}<a:r><a:rPr lang="en"/><a:t>{escape(text)}</a:t></a:r></a:p>'


def shape(*paragraphs: str, placeholder: str = "", style: str = "") -> str:
    """Make a text box, or a placeholder with these attributes, such as `type="title"`."""
    kind = f"<p:ph {placeholder}/>" if placeholder else ""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="Box"/><p:cNvSpPr/><p:nvPr>{kind}</p:nvPr></p:nvSpPr><p:spPr/>'
        f"<p:txBody><a:bodyPr/><a:lstStyle>{style}</a:lstStyle>{''.join(paragraphs)}</p:txBody></p:sp>"
    )


def box(*texts: str) -> str:
    return shape(*map(paragraph, texts))


def title(text: str) -> str:
    return shape(paragraph(text), placeholder='type="title"')


def group(*shapes: str) -> str:
    return (
        '<p:grpSp><p:nvGrpSpPr><p:cNvPr id="3" name="Group"/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        f"{''.join(shapes)}</p:grpSp>"
    )


def alternatives(choice: str, fallback: str) -> str:
    return (
        f'<mc:AlternateContent><mc:Choice Requires="a14">{choice}</mc:Choice>'
        f"<mc:Fallback>{fallback}</mc:Fallback></mc:AlternateContent>"
    )


def graphic(content: str) -> str:
    return (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="4" name="Graphic"/><p:cNvGraphicFramePr/><p:nvPr/>'
        f"</p:nvGraphicFramePr><p:xfrm/><a:graphic><a:graphicData>{content}</a:graphicData></a:graphic></p:graphicFrame>"
    )


def table(rows: Sequence[Sequence[str]], *, first_row: bool = True) -> str:
    """Make a table. A cell that begins with `^` continues the one above it."""
    lines = "".join(f"<a:tr>{''.join(map(_table_cell, row))}</a:tr>" for row in rows)
    return graphic(f'<a:tbl><a:tblPr firstRow="{int(first_row)}"/><a:tblGrid/>{lines}</a:tbl>')


def _table_cell(text: str) -> str:
    merged = ' vMerge="1"' if text.startswith("^") else ""
    return f"<a:tc{merged}><a:txBody><a:bodyPr/>{paragraph(text.removeprefix('^'))}</a:txBody><a:tcPr/></a:tc>"


def make_deck(
    slides: Sequence[Slide],
    *,
    order: Sequence[int] | None = None,
    parts: Mapping[str, str] | None = None,
    relations: Relations = (),
    kind: str = "presentation.main+xml",
    strict: bool = False,
) -> bytes:
    """Make a deck whose slides are stored in this order and shown in `order`."""
    shown = range(len(slides)) if order is None else order
    ids = "".join(f'<p:sldId id="{256 + place}" r:id="s{place}"/>' for place in shown)
    presentation = [(f"s{place}", "slide", f"slides/slide{place + 1}.xml") for place in range(len(slides))]
    files = {
        "[Content_Types].xml": (
            f'{_XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName='
            f'"/ppt/presentation.xml" ContentType="application/vnd.openxmlformats-officedocument.presentationml.{kind}"'
            "/></Types>"
        ),
        "_rels/.rels": _relations([("rId1", "officeDocument", "ppt/presentation.xml")]),
        "ppt/presentation.xml": (f"{_XML}<p:presentation {NAMESPACES}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"),
        "ppt/_rels/presentation.xml.rels": _relations([*presentation, *relations]),
    }
    for number, slide in enumerate(slides, start=1):
        links = list(slide.relations)
        if slide.notes:
            links.append(("notes", "notesSlide", f"../notesSlides/notesSlide{number}.xml"))
            notes = shape(paragraph(slide.notes), placeholder='type="body" idx="1"')
            furniture = shape(paragraph("NUMBER"), placeholder='type="sldNum"')
            files[f"ppt/notesSlides/notesSlide{number}.xml"] = _sheet("notes", notes + furniture)
        show = ' show="0"' if slide.hidden else ""
        files[f"ppt/slides/slide{number}.xml"] = _sheet("sld", slide.shapes, show)
        files[f"ppt/slides/_rels/slide{number}.xml.rels"] = _relations(links)
    files |= {
        name: content if content.startswith("<?xml") else _XML + content for name, content in (parts or {}).items()
    }
    if strict:
        for old, new in _STRICT:
            files = {name: content.replace(old, new) for name, content in files.items()}
    return make_zip(files)


def sheet(name: str, shapes: str, rest: str = "") -> str:
    """Make a layout or a master."""
    return f"{_XML}<p:{name} {NAMESPACES}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>{rest}</p:{name}>"


def relations(links: Relations) -> str:
    return _relations(links)


def _sheet(name: str, shapes: str, attributes: str = "") -> str:
    return f"{_XML}<p:{name} {NAMESPACES}{attributes}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{name}>"


def _relations(links: Relations) -> str:
    entries = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for name, kind, target in links
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE}">{entries}</Relationships>'
