"""Reads numbers as terms: 1,577 and 1.577 and 1577 are one number, and 2.10 is not 2.1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*(?![^\W_])")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_THOUSANDS_BY_POINT: Final = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")
_AMOUNT_BY_POINT: Final = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+,\d{1,2}")
_DECIMAL_COMMA: Final = re.compile(r"\d+,\d{1,2}")


def number_terms(token: str) -> Iterator[str]:
    """Yield the terms of a number.

    Commas before groups of three digits are left out, and zeros at the end of such an amount: 1,577.50 is 1577.5.
    Points before groups of three may set off thousands or decimals, so both readings are terms: 12.500 is 12500 too.
    A comma before one or two digits may be a decimal one, so 3,5 is 3.5, and 3 and 5. Otherwise commas separate
    numbers: "2021,2022" is two. Zeros behind a point count, as in versions and dates, unless there are only zeros.
    """
    if _THOUSANDS.fullmatch(token):
        yield _without_zeros(token.replace(",", ""))
    elif _AMOUNT_BY_POINT.fullmatch(token):
        yield _without_zeros(token.replace(".", "").replace(",", "."))
    elif _THOUSANDS_BY_POINT.fullmatch(token):
        yield token.replace(".", "")
        yield token
    else:
        parts = token.split(",")
        yield from map(_plain, parts)
        if _DECIMAL_COMMA.fullmatch(token):
            yield _plain(token.replace(",", "."))


def _plain(number: str) -> str:
    whole, _, decimals = number.partition(".")
    return whole if not decimals.strip("0") else number


def _without_zeros(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number
