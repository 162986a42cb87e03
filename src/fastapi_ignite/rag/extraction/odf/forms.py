"""Reads what is filled into the form fields of an OpenDocument file; the body only says where each field stands."""

from __future__ import annotations

from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.odf.names import FORM, OFFICE, XML

_LABELLED: Final = frozenset({f"{FORM}{name}" for name in ("button", "fixed-text", "frame")})
_TICKED: Final = frozenset({f"{FORM}checkbox", f"{FORM}radio"})


def form_values(root: etree._Element) -> dict[str, str]:
    """Return the text of each field under its name: what is filled in, or the label of a field without a value."""
    values: dict[str, str] = {}
    for forms in root.iter(f"{OFFICE}forms"):
        for field in forms.iter():
            name = field.get(f"{XML}id") or field.get(f"{FORM}id")
            if name and isinstance(field.tag, str) and field.tag.startswith(FORM):
                values[name] = _value(field)
    return values


def _value(field: etree._Element) -> str:
    label = field.get(f"{FORM}label", "")
    if field.tag in _LABELLED:
        return label
    if field.tag in _TICKED:
        ticked = (
            field.get(f"{FORM}current-state") == "checked"
            or field.get(f"{FORM}current-selected") == "true"
            or (field.get(f"{FORM}current-state") is None and field.get(f"{FORM}state") == "checked")
        )
        return f"[{'x' if ticked else ' '}] {label}"
    options = [
        option.get(f"{FORM}label", "")
        for option in field.iterchildren(f"{FORM}option")
        if option.get(f"{FORM}current-selected") == "true" or option.get(f"{FORM}selected") == "true"
    ]
    if options:
        return ", ".join(options)
    return field.get(f"{FORM}current-value") or field.get(f"{FORM}value") or ""
