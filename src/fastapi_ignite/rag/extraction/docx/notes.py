"""Numbers the footnotes and endnotes of a Word file in the order in which its text refers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.docx.names import OFF, child, child_value, w
from fastapi_ignite.rag.extraction.docx.number_formats import written_number
from fastapi_ignite.rag.extraction.docx.styles import small_number

FOOTNOTE: Final = "footnote"
ENDNOTE: Final = "endnote"
_USUAL_FORMATS: Final = {FOOTNOTE: "decimal", ENDNOTE: "lowerRoman"}
# Lines that Word draws above the notes; they are no notes.
_SEPARATORS: Final = frozenset({"separator", "continuationSeparator", "continuationNotice"})


@dataclass(frozen=True, slots=True)
class NoteReference:
    """A place that refers to a note. `mark` is its number, or empty if the author chose a mark of their own."""

    kind: str
    note_id: str
    mark: str


class Notes:
    """Counts through the whole document, whatever pages and sections do, as their ends are not known."""

    def __init__(self, settings: etree._Element | None) -> None:
        self._formats = dict(_USUAL_FORMATS)
        self._next = dict.fromkeys(_USUAL_FORMATS, 1)
        self._marks: dict[tuple[str, str], str] = {}
        for kind in _USUAL_FORMATS:
            properties = child(settings, w(f"{kind}Pr"))
            self._formats[kind] = child_value(properties, w("numFmt")) or self._formats[kind]
            self._next[kind] = small_number(child_value(properties, w("numStart")), 1)

    def refer(self, element: etree._Element) -> NoteReference:
        """Take a `w:footnoteReference` or a `w:endnoteReference`."""
        kind = ENDNOTE if element.tag == w("endnoteReference") else FOOTNOTE
        note_id = element.get(w("id"), "")
        if element.get(w("customMarkFollows"), "0") not in OFF:
            return NoteReference(kind, note_id, "")
        key = kind, note_id
        if key not in self._marks:
            self._marks[key] = written_number(self._next[kind], self._formats[kind]) or str(self._next[kind])
            self._next[kind] += 1
        return NoteReference(kind, note_id, self._marks[key])


def notes_by_id(root: etree._Element | None, kind: str) -> dict[str, etree._Element]:
    """Return the notes of a part, without the lines that separate them from the text."""
    if root is None:
        return {}
    return {
        note.get(w("id"), ""): note for note in root.iterchildren(w(kind)) if note.get(w("type")) not in _SEPARATORS
    }
