"""Reads what people wrote into the form fields of a PDF page and on it as notes, and finds its place in the text."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pypdfium2.raw as pdfium_c

from fastapi_ignite.rag.extraction.bidirectional import PlacedText
from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_HIDDEN: Final = 2 | 32  # the flags of annotations Hidden and NoView, ISO 32000 table 167
_PASSWORD: Final = 1 << 13  # the flag of text fields
_MOST_ANNOTATIONS: Final = 10_000
_MOST_CHARACTERS: Final = 20_000_000
_TEXT_FIELDS: Final = {pdfium_c.FPDF_FORMFIELD_TEXTFIELD, pdfium_c.FPDF_FORMFIELD_UNKNOWN}
_CHOICES: Final = {pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX}
_MARKS: Final = {pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON}
_COMMENTS: Final = {
    pdfium_c.FPDF_ANNOT_TEXT,
    *(pdfium_c.FPDF_ANNOT_HIGHLIGHT, pdfium_c.FPDF_ANNOT_UNDERLINE, pdfium_c.FPDF_ANNOT_SQUIGGLY),
    *(pdfium_c.FPDF_ANNOT_STRIKEOUT, pdfium_c.FPDF_ANNOT_STAMP, pdfium_c.FPDF_ANNOT_CARET, pdfium_c.FPDF_ANNOT_INK),
    *(pdfium_c.FPDF_ANNOT_LINE, pdfium_c.FPDF_ANNOT_SQUARE, pdfium_c.FPDF_ANNOT_CIRCLE),
    *(pdfium_c.FPDF_ANNOT_POLYGON, pdfium_c.FPDF_ANNOT_POLYLINE, pdfium_c.FPDF_ANNOT_FILEATTACHMENT),
}
# points: how far above a field its caption may stand, and how much of a tall field is its first line
_CAPTION_DISTANCE: Final = 40.0
_FIRST_LINE: Final = 24.0
_TOLERANCE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Field:
    """A form field that shows something. `name` is what a person would call it; a mark is a box to tick."""

    value: PlacedText
    name: str = ""
    is_mark: bool = False


@dataclass(frozen=True, slots=True)
class Annotations:
    """The form fields of a page, and the paragraphs of its text boxes and comments."""

    fields: tuple[Field, ...]
    notes: tuple[str, ...]


def read_annotations(page: Any, form: Any) -> Annotations:
    """Return what is visible on the page. `form` is pdfium's form environment, None if the document has no form.

    Raises:
        ExtractionError: there is more than a page can show.
    """
    count = pdfium_c.FPDFPage_GetAnnotCount(page)
    if count > _MOST_ANNOTATIONS:
        raise ExtractionError(ErrorCode.TOO_LARGE)
    fields: list[Field] = []
    notes: list[str] = []
    length = 0
    for index in range(count):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if pdfium_c.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
                continue
            if pdfium_c.FPDFAnnot_GetSubtype(annotation) == pdfium_c.FPDF_ANNOT_WIDGET:
                if form and (field := _field(annotation, form)):
                    fields.append(field)
                    length += len(field.value.text)
            elif note := _note(annotation):
                notes.append(note)
                length += len(note)
        finally:
            pdfium_c.FPDFPage_CloseAnnot(annotation)
        if length > _MOST_CHARACTERS:
            raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)
    return Annotations(tuple(fields), tuple(notes))


def with_fields(lines: Sequence[Sequence[PlacedText]], fields: Sequence[Field]) -> list[list[PlacedText]]:
    """Return the lines of a page with the values of its fields where they stand.

    A value follows the text on its left, and a box to tick stands before the text on its right. A field without text
    beside it gets a line of its own with its name, below its caption, or at the end of the page if it has none.
    """
    result = [list(line) for line in lines]
    for field in sorted(fields, key=lambda field: (-field.value.top, field.value.left)):
        text = field.value.text
        if beside := _place_beside(result, field):
            number, place = beside
            blank_before = place and not result[number][place - 1].text.isspace()
            blank_after = place < len(result[number]) and not result[number][place].text.isspace()
            shown = f"{' ' if blank_before else ''}{text}{' ' if blank_after else ''}"
            result[number].insert(place, field.value.with_text(shown))
        else:
            named = f"{text} {field.name}" if field.is_mark else f"{field.name}: {text}" if field.name else text
            result.insert(_line_below_caption(result, field.value), [field.value.with_text(named)])
    return result


def _place_beside(lines: Sequence[Sequence[PlacedText]], field: Field) -> tuple[int, int] | None:
    """Return the number of the line beside the field and the place in it; None if no text stands there."""
    box = field.value
    lowest, highest = max(box.bottom, box.top - _FIRST_LINE) - _TOLERANCE, box.top + _TOLERANCE
    found: list[tuple[float, int, int]] = []
    for number, line in enumerate(lines):
        for place, part in enumerate(line):
            if part.text.isspace() or not lowest <= (part.bottom + part.top) / 2 <= highest:
                continue
            if part.right <= box.left + _TOLERANCE:
                found.append((box.left - part.right, number, place + 1))
            elif field.is_mark and part.left >= box.right - _TOLERANCE:
                found.append((part.left - box.right, number, place))
    return min(found)[1:] if found else None


def _line_below_caption(lines: Sequence[Sequence[PlacedText]], box: PlacedText) -> int:
    above = [
        (part.bottom - box.top, number)
        for number, line in enumerate(lines)
        for part in line
        if not part.text.isspace()
        and part.right >= box.left - _TOLERANCE
        and part.left <= box.right
        and -_TOLERANCE <= part.bottom - box.top <= _CAPTION_DISTANCE
    ]
    if not above:
        return len(lines)
    number = min(above)[1] + 1
    # behind the values of fields on the left, which have the same caption line
    while number < len(lines) and len(lines[number]) == 1 and lines[number][0].top >= box.bottom:
        number += 1
    return number


def _field(annotation: Any, form: Any) -> Field | None:
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _MARKS:
        text = "[x]" if _is_ticked(annotation, form, kind) else "[ ]"
    elif kind in _CHOICES:
        text = ", ".join(_chosen(annotation, form)) or _string(pdfium_c.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind in _TEXT_FIELDS and not pdfium_c.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        text = _string(pdfium_c.FPDFAnnot_GetFormFieldValue, form, annotation)
    else:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    box = pdfium_c.FS_RECTF()
    if not text or not pdfium_c.FPDFAnnot_GetRect(annotation, box):
        return None
    return Field(
        PlacedText(text, box.left, min(box.bottom, box.top), box.right, max(box.bottom, box.top)),
        _name(annotation, form),
        is_mark=kind in _MARKS,
    )


def _is_ticked(annotation: Any, form: Any, kind: int) -> bool:
    """Ask pdfium, which needs the pictures of both states, and else the file, which may have the state alone."""
    if pdfium_c.FPDFAnnot_IsChecked(form, annotation):
        return True
    state = _string(pdfium_c.FPDFAnnot_GetStringValue, annotation, b"AS")
    if not state and kind == pdfium_c.FPDF_FORMFIELD_CHECKBOX:
        state = _string(pdfium_c.FPDFAnnot_GetFormFieldValue, form, annotation)
    return state not in {"", "Off"}


def _chosen(annotation: Any, form: Any) -> Iterator[str]:
    for index in range(max(0, min(pdfium_c.FPDFAnnot_GetOptionCount(form, annotation), _MOST_ANNOTATIONS))):
        if pdfium_c.FPDFAnnot_IsOptionSelected(form, annotation, index):
            yield _string(pdfium_c.FPDFAnnot_GetOptionLabel, form, annotation, index)


def _name(annotation: Any, form: Any) -> str:
    """Return the name that the form shows to its users, or else the last part of the field's own."""
    shown = _string(pdfium_c.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    own = _string(pdfium_c.FPDFAnnot_GetFormFieldName, form, annotation)
    return " ".join((shown or own.rpartition(".")[2].partition("[")[0]).split()).rstrip(":")


def _note(annotation: Any) -> str:
    kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
    if kind != pdfium_c.FPDF_ANNOT_FREETEXT and kind not in _COMMENTS:
        return ""
    text = _string(pdfium_c.FPDFAnnot_GetStringValue, annotation, b"Contents").replace("\r", "\n").strip()
    if not text or kind == pdfium_c.FPDF_ANNOT_FREETEXT:
        return text
    author = _string(pdfium_c.FPDFAnnot_GetStringValue, annotation, b"T").strip()
    return comment_text(text, author)


def _string(function: Callable[..., int], *arguments: Any) -> str:
    """Call a function of pdfium that returns the size of a string in UTF-16, and writes it if there is room."""
    size = function(*arguments, None, 0)
    if size <= 2:  # noqa: PLR2004  the NUL at its end
        return ""
    buffer = ctypes.create_string_buffer(size)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium_c.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="ignore").replace("\0", "")
