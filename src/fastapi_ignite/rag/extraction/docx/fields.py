"""Follows the fields of a Word file: their results are shown, their instructions are not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.symbol_characters import symbol_character
from fastapi_ignite.rag.extraction.docx.names import OFF, VAL, w
from fastapi_ignite.rag.extraction.docx.styles import small_number

_FLAGS: Final = re.DOTALL | re.IGNORECASE
_BUTTON: Final = re.compile(r"\s*(?:MACROBUTTON|GOTOBUTTON)\s+\S+\s(.*)", _FLAGS)
_SYMBOL: Final = re.compile(r'\s*SYMBOL\s+(0x[0-9a-f]{1,5}|\d{1,6})\b(?:.*?\\f\s+"?([^"\\]+))?', _FLAGS)
_EQUATION: Final = re.compile(r"\s*EQ\s(.*)", _FLAGS)
# Of an equation field the switches (`\f`, `\up 9`) and the format switches (`\* jc2`, `\* hps10`) are no text.
_SWITCHES: Final = re.compile(r'\\\*\s*(?:"[^"]*"|[^\s\\]+)|\\[a-z]{1,2}\s?\d*|\s+')
_ARGUMENT_SIGNS: Final = str.maketrans({"(": " ", ")": " ", ";": " ", ",": " "})
# Word nests no deeper; the outermost of more is given up, so that no file makes each mark cost more than the last.
_MOST_OPEN: Final = 50
_LAST_CODE_POINT: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


@dataclass(slots=True)
class _Field:
    in_instruction: bool = True
    has_result: bool = False
    instruction: list[str] = field(default_factory=list)
    form: etree._Element | None = None


class Fields:
    """The fields that are open at one place of a story, the innermost last."""

    def __init__(self) -> None:
        self._open: list[_Field] = []
        self.in_instruction = False

    def mark(self, element: etree._Element) -> str:
        """Take a `w:fldChar`. Return what the field shows if it ends here and its result was never stored."""
        kind = element.get(w("fldCharType"))
        shown = ""
        if kind == "begin":
            self._open = [*self._open[-_MOST_OPEN + 1 :], _Field(form=element.find(w("ffData")))]
        elif kind == "separate" and self._open:
            self._open[-1].in_instruction = False
        elif kind == "end" and self._open:
            ended = self._open.pop()
            shown = "" if ended.has_result else _shown("".join(ended.instruction), ended.form)
        self.in_instruction = any(each.in_instruction for each in self._open)
        return "" if self.in_instruction else shown

    def instruction(self, text: str) -> None:
        if self._open:
            self._open[-1].instruction.append(text)

    def shows(self) -> None:
        """Note that text is shown here, which is a result of the fields around it."""
        for each in self._open:
            each.has_result = True

    def end_paragraph(self) -> None:
        """End instructions: only those of nested fields go on behind a paragraph, and damaged ones never end.

        So a field without an end cannot hide the rest of the document.
        """
        for each in self._open:
            each.in_instruction = False
        self.in_instruction = False


def _shown(instruction: str, form: etree._Element | None) -> str:
    if form is not None:
        return _form_value(form)
    button = _BUTTON.match(instruction)
    if button:
        return button[1].strip()
    symbol = _SYMBOL.match(instruction)
    if symbol:
        code = int(symbol[1], 16 if symbol[1].lower().startswith("0x") else 10)
        if code > _LAST_CODE_POINT or code in _SURROGATES:
            return ""
        return symbol_character(code, symbol[2] or "")
    equation = _EQUATION.match(instruction)
    if equation:
        return " ".join(_SWITCHES.sub(" ", equation[1]).translate(_ARGUMENT_SIGNS).split())
    return ""


def _form_value(form: etree._Element) -> str:
    box = form.find(w("checkBox"))
    if box is not None:
        state = box.find(w("checked"))
        if state is None:
            state = box.find(w("default"))
        return "☐" if state is None or state.get(VAL) in OFF else "☒"
    choices = form.find(w("ddList"))
    if choices is None:
        return ""
    entries = [entry.get(VAL, "") for entry in choices.iterchildren(w("listEntry"))]
    chosen = choices.find(w("result"))
    if chosen is None:
        chosen = choices.find(w("default"))
    number = 0 if chosen is None else small_number(chosen.get(VAL), 0)
    return entries[number] if number < len(entries) else ""
