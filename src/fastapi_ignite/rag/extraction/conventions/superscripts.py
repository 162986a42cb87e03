"""Writes raised digits as superscripts, so that 10 to the power of 6 does not become 106."""

from __future__ import annotations

from typing import Final

_RAISED: Final = dict(zip("0123456789+-\u2212=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ", strict=True))
_RAISED_SIGNS: Final = frozenset(_RAISED)
_RAISED_TABLE: Final = str.maketrans(_RAISED)


def can_be_raised(text: str) -> bool:
    """Tell whether all characters have raised ones: digits, signs and `n`."""
    return _RAISED_SIGNS.issuperset(text)


def raised(text: str) -> str:
    """Return a superscript. A text with a character that cannot be raised stays as typed: `4th`."""
    return text.translate(_RAISED_TABLE) if can_be_raised(text) else text
