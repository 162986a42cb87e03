"""Puts text into one spelling before it is split into terms: case, accents, marks, signs and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from fastapi_ignite.rag.text.numbers import GROUP_MARK

# vowel signs and points, which Python's \w leaves out although they stand inside words
MARKS: Final = (
    "\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a"
    "\u0900-\u0963\u0966-\u0dff\u0f18-\u0fbc"
)
# Characters that nobody sees: they neither divide a word nor belong to it. A soft hyphen may stand at a line's end.
_INVISIBLE: Final = re.compile(
    "\u00ad(?:[ \t]*\n[ \t]*)?|[\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
# Vowels that Hebrew and Arabic texts write or leave out, and the stroke that makes an Arabic word longer.
_OPTIONAL_VOWELS: Final = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
_LATIN_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_POSSESSIVE: Final = re.compile(r"['\u2019]s\b")
_POWERS: Final = "\u00b2\u00b3\u00b9\u2070-\u2079"
_SET_OFF_BEHIND_DIGIT: Final = rf"\u00bc-\u00be\u2150-\u215e\u3300-\u33ff{_POWERS}"
_CIRCLED: Final = "\u2460-\u24ff\u2776-\u2793"
_WITHOUT_LETTERS: Final = "\u2122\u2120\u2116\u00aa\u00ba"  # trade mark, service mark, numero, ordinals
_SPECIAL: Final = re.compile(
    rf"(?P<hyphen>[\u2010\u2011\u2212])|(?P<blank>[{_WITHOUT_LETTERS}])|(?P<circled>[{_CIRCLED}])"
    rf"|[{_SET_OFF_BEHIND_DIGIT}]"
)
_MAY_BE_SPECIAL: Final = re.compile(rf"[\u2010\u2011\u2212{_WITHOUT_LETTERS}{_CIRCLED}{_SET_OFF_BEHIND_DIGIT}]")
_IS_POWER: Final = re.compile(f"[{_POWERS}]")
# a unit of one or two letters keeps its power: "m²" is "m2", and the mark of a footnote is set off
_SHORT_UNIT: Final = 3
_ESCAPED: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
# Python orders a run of marks in time quadratic in its length.
_STRETCH: Final = re.compile(r".{1,4096}(?!\S)|.{1,4096}", re.DOTALL)


def normalize(text: str) -> str:
    """Fold compatibility forms, case and Latin accents: "café" becomes "cafe", and "Wrocław" stays.

    Escapes of JSON are read as what they mean.
    """
    if "\\u" in text:
        text = _ESCAPED.sub(_unescaped, text)
    text = GROUP_MARK.sub("", text)
    if text.isascii():
        return _POSSESSIVE.sub("", text.lower())
    text = without_invisible(text)
    if _MAY_BE_SPECIAL.search(text):
        text = _SPECIAL.sub(_respelled, text)
    stretches: list[str] = _STRETCH.findall(text.casefold())
    return _POSSESSIVE.sub("", "".join(map(_fold, stretches)))


def without_invisible(text: str) -> str:
    """Remove the characters that nobody sees, such as soft hyphens."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _OPTIONAL_VOWELS.sub("", _LATIN_ACCENTS.sub("", decomposed)))


def _respelled(sign: re.Match[str]) -> str:
    """Set a sign off that would otherwise become digits or letters of the word or number before it."""
    character, text, start = sign.group(), sign.string, sign.start()
    if sign["hyphen"]:
        return "-"
    if sign["blank"]:
        return " "
    if sign["circled"]:
        return f" {character} "
    before = text[max(start - _SHORT_UNIT, 0) : start]
    behind_digit = before[-1:].isdecimal()
    behind_word = len(before) == _SHORT_UNIT and before.isalpha() and _IS_POWER.match(character)
    return f" {character}" if behind_digit or behind_word else character


def _unescaped(escapes: re.Match[str]) -> str:
    units = bytes.fromhex(escapes.group().replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
