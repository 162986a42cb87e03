"""Writes superscripts, subscripts and formulas on one line, so that 10 to the power of 6 does not become 106."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_MARKS: Final = {"TM": "™", "SM": "℠", "(R)": "®", "R": "®"}
# Spanish, Italian and Portuguese ordinals; the same sign serves for degrees
_ORDINALS: Final = {"o": "º", "a": "ª"}
_SHORT_EXPONENT: Final = re.compile(r"[-+\u2212]?[0-9]{1,2}")
_RAISED_DIGITS: Final = str.maketrans("0123456789+-\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
# the name of a variable or the sign of a unit: x, m, km
_SYMBOL: Final = re.compile(r"(?:^|[^\w])[^\W\d_]{1,2}$")
_LONE_VARIABLES: Final = frozenset("ijkmnpxyz")
_SUM: Final = re.compile(r"\w{1,8}(?:[-+*/\u2212]\w{1,8})+")
_LAST_CHARACTERS: Final = 8


def superscript(before: Sequence[str], text: str) -> str:
    """Return what stands for `text`, raised behind the pieces of text in `before`, on a line without raised letters.

    An exponent of a number or a variable and the number of a footnote get a circumflex: `10^6`, `crowns^2`. Behind one
    or two letters, a unit or a variable, small numbers become raised digits: `m²`. Words and signs stay as they are:
    `1st`, `[2]`.
    """
    base = _end_of(before)
    text = text.strip()
    if not base or base[-1].isspace() or not text:
        return text
    if text in _MARKS:
        return _MARKS[text]
    if text in _ORDINALS and base[-1].isdigit():
        return _ORDINALS[text]
    if _SHORT_EXPONENT.fullmatch(text) and _SYMBOL.search(base):
        return text.translate(_RAISED_DIGITS)
    is_number = text[0].isdigit() or (len(text) > 1 and text[0] in "-+\u2212" and text[1].isalnum())
    if is_number or (text in _LONE_VARIABLES and (base[-1].isalnum() or base[-1] == ")")):
        return f"^{text}"
    return f"^({text})" if _SUM.fullmatch(text) and base[-1].isalnum() else text


def subscript(before: Sequence[str], text: str) -> str:
    """Return what stands for a lowered `text`: itself (`H2O`), save that digits behind a digit get a low line."""
    base = _end_of(before)
    text = text.strip() if base else text
    return f"_{text}" if base[-1:].isdigit() and text[:1].isdigit() else text


class Formula:
    """Writes MathML on one line: `x^2`, `a_1`, `(a+b)/2`. It is told of every tag inside `<math>`."""

    _JOINTS: Final = {
        "msup": ("^",),
        "msub": ("_",),
        "msubsup": ("_", "^"),
        "mfrac": ("/",),
        "munder": ("_",),
        "mover": ("^",),
        "munderover": ("_", "^"),
        "mroot": ("^1/",),
    }

    def __init__(self) -> None:
        # of each open element: its name, how many children it had, and where its text begins among the pieces
        self._open: list[tuple[str, int, int]] = []

    def open(self, name: str, pieces: list[str]) -> None:
        if self._open:
            parent, children, start = self._open[-1]
            joints = self._JOINTS.get(parent, ())
            if 0 < children <= len(joints):
                pieces.append(joints[children - 1])
            self._open[-1] = (parent, children + 1, start)
        self._open.append((name, 0, len(pieces)))

    def close(self, pieces: list[str]) -> None:
        if not self._open:
            return
        name, _, start = self._open.pop()
        in_joint = bool(self._open) and self._open[-1][0] in self._JOINTS
        if name == "mrow" and in_joint and len(pieces) > start + 1:
            pieces[start] = f"({pieces[start]}"
            pieces.append(")")


def _end_of(pieces: Sequence[str]) -> str:
    return "".join(pieces[-3:])[-_LAST_CHARACTERS:]
