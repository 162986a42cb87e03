"""Reads the values out of a dynamic XFA form, whose pages hold no more than "please wait"."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import pypdfium2.raw as pdfium_c
from lxml import etree

_MOST_BYTES: Final = 50_000_000
_MOST_PACKETS: Final = 100
_Element = etree._Element  # noqa: SLF001  lxml has no public name for its elements


def xfa_lines(document: Any) -> Iterator[str]:
    """Yield a line `caption: value` for each value in the form's data, in its order. Damaged packets have none."""
    if pdfium_c.FPDF_GetFormType(document) != pdfium_c.FORMTYPE_XFA_FULL:
        return
    packets = _packets(document)
    captions = _captions(packets.get("template"))
    data = packets.get("datasets")
    for element in data.iter("*") if data is not None else ():
        value = "".join(element.itertext(with_tail=False)).strip() if not len(element) else ""
        if value:
            name = _local_name(element)
            yield f"{captions.get(name, name)}: {value}"


def _packets(document: Any) -> dict[str, _Element]:
    found = {}
    for index in range(min(pdfium_c.FPDF_GetXFAPacketCount(document), _MOST_PACKETS)):
        name = _bytes(pdfium_c.FPDF_GetXFAPacketName, document, index).rstrip(b"\0").decode("ascii", "replace")
        if name in {"template", "datasets"} and (root := _parsed(_packet(document, index))) is not None:
            found[name] = root
    return found


def _captions(template: _Element | None) -> dict[str, str]:
    """Return what the form calls its fields; names without a caption or with several are left out."""
    captions: dict[str, str] = {}
    for field in template.iter("{*}field") if template is not None else ():
        caption = field.find("{*}caption/{*}value")
        text = " ".join("".join(caption.itertext()).split()).rstrip(":") if caption is not None else ""
        name = field.get("name", "")
        captions[name] = text if captions.get(name, text) == text else ""
    return {name: text for name, text in captions.items() if text}


def _parsed(packet: bytes) -> _Element | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(packet, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _local_name(element: _Element) -> str:
    return etree.QName(element).localname


def _packet(document: Any, index: int) -> bytes:
    size = ctypes.c_ulong()
    pdfium_c.FPDF_GetXFAPacketContent(document, index, None, 0, size)
    if not 0 < size.value <= _MOST_BYTES:
        return b""
    buffer = ctypes.create_string_buffer(size.value)
    pdfium_c.FPDF_GetXFAPacketContent(document, index, buffer, size.value, size)
    return buffer.raw[: size.value]


def _bytes(function: Any, document: Any, index: int) -> bytes:
    size = function(document, index, None, 0)
    buffer = ctypes.create_string_buffer(max(size, 1))
    function(document, index, buffer, size)
    return buffer.raw[:size]
