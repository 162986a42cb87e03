"""Writes the numbers of lists, headings and notes in Roman digits and in letters."""

from __future__ import annotations

from typing import Final

_LARGEST_ROMAN: Final = 3999
_ROMAN: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
_MOST_REPEATED_LETTERS: Final = 30  # of Word


def added_signs(number: int, signs: tuple[tuple[int, str], ...]) -> str:
    """Return the signs whose values make the number together; `signs` begins with the largest value."""
    written = ""
    for value, sign in signs:
        times, number = divmod(number, value)
        written += sign * times
    return written


def roman(number: int) -> str:
    """Return the number in small Roman digits. One that is not between 1 and 3999 is written in decimal digits."""
    return added_signs(number, _ROMAN) if 0 < number <= _LARGEST_ROMAN else str(number)


def letters(number: int) -> str:
    """Write a number as browsers and LibreOffice do: behind `z` comes `aa`, then `ab`."""
    if number < 1:
        return str(number)
    written = ""
    while number:
        number, place = divmod(number - 1, len(LATIN))
        written = LATIN[place] + written
    return written


def repeated_letter(number: int, alphabet: str = LATIN) -> str:
    """Write a number as Word and PowerPoint do: behind `z` comes `aa`, then `bb`."""
    times, place = divmod(number - 1, len(alphabet))
    return alphabet[place] * (times + 1) if 0 <= times < _MOST_REPEATED_LETTERS else str(number)
