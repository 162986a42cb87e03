"""OpenDocument files and EPUB books that are built by hand as common programs write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from support.sample_files import make_zip

_URN: Final = "urn:oasis:names:tc:opendocument:xmlns"
_NAMESPACES: Final = {
    "office": f"{_URN}:office:1.0",
    "text": f"{_URN}:text:1.0",
    "table": f"{_URN}:table:1.0",
    "draw": f"{_URN}:drawing:1.0",
    "style": f"{_URN}:style:1.0",
    "presentation": f"{_URN}:presentation:1.0",
    "form": f"{_URN}:form:1.0",
    "svg": f"{_URN}:svg-compatible:1.0",
    "fo": f"{_URN}:xsl-fo-compatible:1.0",
    "xlink": "http://www.w3.org/1999/xlink",
    "dc": "http://purl.org/dc/elements/1.1/",
    "math": "http://www.w3.org/1998/Math/MathML",
}
_DECLARED: Final = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in _NAMESPACES.items())
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_CONTAINER: Final = "urn:oasis:names:tc:opendocument:xmlns:container"


def content_xml(kind: str, body: str, automatic_styles: str = "") -> str:
    """Return content.xml. `kind` is `text`, `spreadsheet` or `presentation`, as in the names of the formats."""
    return (
        f"{_XML}<office:document-content {_DECLARED}><office:automatic-styles>{automatic_styles}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>"
    )


def styles_xml(styles: str = "", masters: str = "") -> str:
    return (
        f"{_XML}<office:document-styles {_DECLARED}><office:styles>{styles}</office:styles>"
        f"<office:master-styles>{masters}</office:master-styles></office:document-styles>"
    )


def make_open_document(
    kind: str,
    body: str,
    *,
    automatic_styles: str = "",
    styles: str = "",
    masters: str = "",
    parts: Mapping[str, str] | None = None,
) -> bytes:
    content = {"content.xml": content_xml(kind, body, automatic_styles), "styles.xml": styles_xml(styles, masters)}
    return make_open_package(kind, content | dict(parts or {}))


def make_flat_document(
    kind: str, body: str, *, automatic_styles: str = "", styles: str = "", masters: str = ""
) -> bytes:
    """Make the same document as one XML file (`.fodt`)."""
    return (
        f'{_XML}\n<office:document {_DECLARED} office:mimetype="application/vnd.oasis.opendocument.{kind}">'
        "<office:meta><dc:title>Not shown</dc:title></office:meta>"
        "<office:settings><config-item>Not shown</config-item></office:settings>"
        f"<office:styles>{styles}</office:styles><office:automatic-styles>{automatic_styles}</office:automatic-styles>"
        f"<office:master-styles>{masters}</office:master-styles><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document>"
    ).encode()


def make_open_package(kind: str, parts: Mapping[str, str | bytes]) -> bytes:
    media_type = f"application/vnd.oasis.opendocument.{kind}"
    return make_zip({"mimetype": media_type, **parts}, stored=["mimetype"])


def make_book(
    chapters: Mapping[str, str | bytes],
    *,
    spine: Mapping[str, str] | None = None,
    folder: str = "OEBPS/",
    items: str = "",
    left_out: str = "",
) -> bytes:
    """Make an EPUB.

    `chapters` maps the stored names to the pages, and `spine` has the addresses by which the book refers to them.
    `items` are further items of the manifest, and `left_out` is a chapter that the book names but does not contain.
    """
    addresses = spine or {name: name for name in chapters}
    manifest = "".join(
        f'<item id="c{n}" href="{address}" media-type="application/xhtml+xml"/>' for n, address in enumerate(addresses)
    )
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(addresses)))
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            f'{_XML}<container version="1.0" xmlns="{_CONTAINER}"><rootfiles><rootfile full-path="{folder}book.opf"'
            ' media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        f"{folder}book.opf": (
            f'{_XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>{manifest}{items}'
            f"</manifest><spine>{order}</spine></package>"
        ),
    }
    parts |= {f"{folder}{name}": page for name, page in chapters.items() if name != left_out}
    return make_zip(parts, stored=["mimetype"])


def chapter(body: str, *, head: str = "<title>Not shown</title>") -> str:
    return (
        f'{_XML}<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'
        f'<html xmlns="http://www.w3.org/1999/xhtml"><head>{head}</head><body>{body}</body></html>'
    )
