"""Word files that are built from the XML of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from support.sample_files import make_zip

_TRANSITIONAL: Final = "http://schemas.openxmlformats.org"
_STRICT: Final = "http://purl.oclc.org/ooxml"
_MAIN_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def _namespaces(*, strict: bool) -> str:
    def uri(subject: str, name: str) -> str:
        return f"{_STRICT}/{subject}/{name}" if strict else f"{_TRANSITIONAL}/{subject}/2006/{name}"

    names = {
        "w": uri("wordprocessingml", "main"),
        "r": uri("officeDocument", "relationships"),
        "m": uri("officeDocument", "math"),
        "wp": uri("drawingml", "wordprocessingDrawing"),
        "a": uri("drawingml", "main"),
        "c": uri("drawingml", "chart"),
        "dgm": uri("drawingml", "diagram"),
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "v": "urn:schemas-microsoft-com:vml",
    }
    return " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in names.items())


def part(element: str, content: str, *, strict: bool = False, encoding: str = "UTF-8") -> bytes:
    """Return a part whose root element is `element`; it declares every namespace of Word."""
    document = (
        f'<?xml version="1.0" encoding="{encoding}"?><{element} {_namespaces(strict=strict)}>{content}</{element}>'
    )
    return document.encode(encoding)


def make_word_file(
    body: str,
    *,
    styles: str = "",
    numbering: str = "",
    settings: str = "",
    footnotes: str = "",
    endnotes: str = "",
    comments: str = "",
    headers: Sequence[str] = (),
    footers: Sequence[str] = (),
    others: Mapping[str, bytes] | None = None,
    related: Sequence[tuple[str, str, str]] = (),
    main: str = "word/document.xml",
    main_target: str = "",
    main_type: str = _MAIN_TYPE,
    strict: bool = False,
    encoding: str = "UTF-8",
) -> bytes:
    """Return a Word file. `related` are further relationships (id, kind, target) of the main part."""
    kind = f"{_STRICT}/officeDocument/relationships" if strict else f"{_TRANSITIONAL}/officeDocument/2006/relationships"
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": _content_types(main, main_type),
        "_rels/.rels": _relationships([("rId1", f"{kind}/officeDocument", main_target or main)]),
    }
    links = [(identifier, f"{kind}/{name}", target) for identifier, name, target in related]
    folder, _, name = main.rpartition("/")

    def add(relation: str, file: str, element: str, content: str) -> None:
        parts[f"{folder}/{file}"] = part(element, content, strict=strict)
        links.append((f"rId{len(links) + 100}", f"{kind}/{relation}", file))

    for relation, element, content in (
        ("styles", "w:styles", styles),
        ("numbering", "w:numbering", numbering),
        ("settings", "w:settings", settings),
        ("footnotes", "w:footnotes", footnotes),
        ("endnotes", "w:endnotes", endnotes),
        ("comments", "w:comments", comments),
    ):
        if content:
            add(relation, f"{relation}.xml", element, content)
    for number, content in enumerate(headers, start=1):
        add("header", f"header{number}.xml", "w:hdr", content)
    for number, content in enumerate(footers, start=1):
        add("footer", f"footer{number}.xml", "w:ftr", content)
    parts[f"{folder}/_rels/{name}.rels"] = _relationships(links)
    parts[main] = part("w:document", f"<w:body>{body}</w:body>", strict=strict, encoding=encoding)
    return make_zip(parts | dict(others or {}))


def p(content: str = "", properties: str = "") -> str:
    """Return a paragraph; content that is not XML becomes a run."""
    inside = content if content.startswith("<") or not content else run(content)
    return f"<w:p>{f'<w:pPr>{properties}</w:pPr>' if properties else ''}{inside}</w:p>"


def run(text: str, properties: str = "") -> str:
    inside = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{inside}<w:t xml:space="preserve">{text}</w:t></w:r>'


def item(text: str, list_id: int = 1, level: int = 0) -> str:
    return p(run(text), in_list(list_id, level))


def level(number: int, number_format: str, text: str, more: str = "", start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="{start}"/><w:numFmt w:val="{number_format}"/>'
        f'<w:lvlText w:val="{text}"/>{more}</w:lvl>'
    )


def style(
    style_id: str, name: str = "", *, base: str = "", paragraph: str = "", runs: str = "", kind: str = "paragraph"
) -> str:
    return (
        f'<w:style w:type="{kind}" w:styleId="{style_id}"><w:name w:val="{name or style_id}"/>'
        + (f'<w:basedOn w:val="{base}"/>' if base else "")
        + (f"<w:pPr>{paragraph}</w:pPr>" if paragraph else "")
        + (f"<w:rPr>{runs}</w:rPr>" if runs else "")
        + "</w:style>"
    )


def list_instance(list_id: int, definition: int, more: str = "") -> str:
    return f'<w:num w:numId="{list_id}"><w:abstractNumId w:val="{definition}"/>{more}</w:num>'


def in_list(list_id: int, level_number: int | None = None) -> str:
    """Return the paragraph properties that put a paragraph into a list."""
    place = "" if level_number is None else f'<w:ilvl w:val="{level_number}"/>'
    return f'<w:numPr>{place}<w:numId w:val="{list_id}"/></w:numPr>'


def numbering(*levels: str, instances: str = "") -> str:
    definition = f'<w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>'
    return definition + (instances or list_instance(1, 0))


def cell(content: str, properties: str = "") -> str:
    inside = content if content.startswith(("<w:p", "<w:tbl")) else p(content)
    return f"<w:tc>{f'<w:tcPr>{properties}</w:tcPr>' if properties else ''}{inside}</w:tc>"


def row(*cells: str, properties: str = "") -> str:
    inside = "".join(each if each.startswith("<w:tc>") else cell(each) for each in cells)
    return f"<w:tr>{f'<w:trPr>{properties}</w:trPr>' if properties else ''}{inside}</w:tr>"


def table(*rows: str, properties: str = "") -> str:
    return f"<w:tbl><w:tblPr>{properties}</w:tblPr>{''.join(rows)}</w:tbl>"


def text_box(content: str) -> str:
    """Return a text box as Word writes it: once for new programs, and again for old ones."""
    shape = f"<w:txbxContent>{content}</w:txbxContent>"
    return (
        "<w:r><mc:AlternateContent>"
        f'<mc:Choice Requires="wps"><w:drawing><wp:inline><wps:wsp><wps:txbx>{shape}</wps:txbx></wps:wsp></wp:inline>'
        f"</w:drawing></mc:Choice><mc:Fallback><w:pict><v:shape><v:textbox>{shape}</v:textbox></v:shape></w:pict>"
        "</mc:Fallback></mc:AlternateContent></w:r>"
    )


def field(instruction: str, result: str = "") -> str:
    """Return a field of five runs; without a result, it also has no place for one."""
    separate = f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}' if result else ""
    return (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
        f'<w:r><w:instrText xml:space="preserve">{instruction}</w:instrText></w:r>{separate}'
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def _content_types(main: str, main_type: str) -> str:
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{main}" ContentType="{main_type}"/></Types>'
    )


def _relationships(links: Sequence[tuple[str, str, str]]) -> str:
    entries = "".join(f'<Relationship Id="{i}" Type="{kind}" Target="{target}"/>' for i, kind, target in links)
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{entries}</Relationships>'
    )
