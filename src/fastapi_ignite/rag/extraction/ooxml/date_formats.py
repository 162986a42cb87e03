"""Shows a date or a time of a spreadsheet, which is a number of days, under its format code."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fastapi_ignite.rag.extraction.ooxml.date_names import DATE_NAMES, ENGLISH

_LAST_DAY: Final = 2_958_465  # 31 December 9999
_DAYS_TO_1904: Final = 1462
_MISSING_DAY: Final = 60  # the programs count 29 February 1900, which never was
_MILLISECONDS: Final = 86_400_000
_MOST_ELAPSED_DAYS: Final = 10_000_000

_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)(?:-(?P<language>[^\]]*))?\]'
    r"|\[(?P<elapsed>h+|m+|s+)\]|\[[^\]]*\]|(?P<noon>AM/PM|A/P)|(?P<unit>y+|m+|d+|h+|s+|e+|g+|b+)"
    r"|(?P<fraction>\.0{1,3}(?!\d))|(?P<other>.)",
    re.DOTALL | re.IGNORECASE,
)
_SHORT: Final = 3
_NAMES_FROM: Final = 3
_ISO: Final = "yyyy-mm-dd"
Token = tuple[str, str]


def is_date_code(code: str) -> bool:
    """Tell whether a section of a format code shows dates or times."""
    if code.strip().lower() == "general":
        return False
    found = [match.lastgroup for match in _TOKEN.finditer(re.sub("General", "", code, flags=re.IGNORECASE))]
    return any(kind in {"elapsed", "noon"} for kind in found) or (
        "unit" in found and not re.search(r"[0#?]", _without_literals(code))
    )


def date_text(code: str, serial: float, *, epoch_1904: bool) -> str | None:
    """Show a number of days under a format code; None if it is no date, as it is negative or too large."""
    pattern = _pattern(code)
    elapsed = pattern.is_elapsed
    if not 0 <= serial <= (_MOST_ELAPSED_DAYS if elapsed else _LAST_DAY):
        return None
    if epoch_1904 and not elapsed:
        serial += _DAYS_TO_1904
    if pattern.has_names and pattern.language not in DATE_NAMES:
        pattern = _pattern(_ISO)
    days, rest = divmod(serial, 1)
    milliseconds = round(rest * _MILLISECONDS)
    if pattern.ends_in_seconds:
        milliseconds = (milliseconds + 500) // 1000 * 1000
    if milliseconds >= _MILLISECONDS:
        days, milliseconds = days + 1, milliseconds - _MILLISECONDS
    if days > _LAST_DAY and not elapsed:
        return None
    return _Moment(int(days), milliseconds).shown(pattern).strip()


def serial_of(moment: dt.datetime, *, epoch_1904: bool) -> float:
    """Return the number of days by which a workbook would store a moment."""
    delta = moment - dt.datetime(1899, 12, 30)  # noqa: DTZ001  # spreadsheets know no time zones
    days = delta / dt.timedelta(days=1)
    return days - _DAYS_TO_1904 if epoch_1904 else days


class _Moment:
    """A day of the 1900 epoch and the milliseconds since its midnight."""

    def __init__(self, days: int, milliseconds: int) -> None:
        self._days = days
        seconds, self._millisecond = divmod(milliseconds, 1000)
        self._total_seconds = days * 86_400 + seconds
        self._hour, seconds = divmod(seconds, 3600)
        self._minute, self._second = divmod(seconds, 60)
        if days == _MISSING_DAY:
            self._date = (1900, 2, 29)
        elif days == 0:
            self._date = (1900, 1, 0)
        elif days <= _LAST_DAY:
            epoch = dt.date(1899, 12, 30) if days > _MISSING_DAY else dt.date(1899, 12, 31)
            day = epoch + dt.timedelta(days=days)
            self._date = (day.year, day.month, day.day)
        else:
            self._date = (9999, 12, 31)

    def shown(self, pattern: _Pattern) -> str:
        return "".join([self._token(kind, text, pattern) for kind, text in pattern.tokens])

    def _token(self, kind: str, text: str, pattern: _Pattern) -> str:
        if kind == "noon":
            return text.split("/")[self._hour >= 12].upper()  # noqa: PLR2004  # noon
        if kind == "elapsed":
            divisor = {"h": 3600, "m": 60, "s": 1}[text[0]]
            return str(self._total_seconds // divisor).zfill(len(text))
        if kind == "fraction":
            return "." + f"{self._millisecond:03}"[: len(text) - 1]
        if kind == "minute":
            return str(self._minute).zfill(min(len(text), 2))
        if kind == "unit":
            return self._unit(text, pattern)
        return text

    def _unit(self, text: str, pattern: _Pattern) -> str:
        year, month, day = self._date
        letter = text[0]
        if letter in "md" and len(text) >= _NAMES_FROM:
            return self._name(text, pattern)
        if letter == "y" and len(text) <= 2:  # noqa: PLR2004  # two digits
            return f"{year % 100:02}"
        if letter in "ye":
            return f"{year:04}"
        numbers = {
            "b": year + 543,
            "m": month,
            "d": day,
            "h": (self._hour - 1) % 12 + 1 if pattern.has_halves else self._hour,
            "s": self._second,
        }
        return str(numbers[letter]).zfill(min(len(text), 2)) if letter in numbers else ""

    def _name(self, text: str, pattern: _Pattern) -> str:
        names = DATE_NAMES[pattern.language]
        is_short = len(text) == _SHORT
        if text[0] == "d":
            # the programs count days of the week as if 1 January 1900 had been a Sunday
            return (names.short_days if is_short else names.days)[(self._days - 2) % 7]
        if is_short:
            return names.short_months[self._date[1] - 1]
        name = (names.months_of_days if pattern.has_day else names.months)[self._date[1] - 1]
        return name[0] if len(text) > 4 else name  # noqa: PLR2004  # the first letter


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A format code, and what is asked of it for each of its numbers. `has_day` says that it has the day of a month."""

    tokens: Sequence[Token]
    language: int
    is_elapsed: bool
    has_halves: bool
    has_names: bool
    has_day: bool
    ends_in_seconds: bool


@lru_cache(maxsize=1024)
def _pattern(code: str) -> _Pattern:
    tokens, language = _tokens(code)
    kinds = {kind for kind, _ in tokens}
    units = [text for kind, text in tokens if kind == "unit"]
    return _Pattern(
        tokens,
        language,
        is_elapsed="elapsed" in kinds,
        has_halves="noon" in kinds,
        has_names=any(text[0] in "md" and len(text) >= _NAMES_FROM for text in units),
        has_day=any(text in {"d", "dd"} for text in units),
        ends_in_seconds="fraction" not in kinds and any(text[0] == "s" for text in units),
    )


def _tokens(code: str) -> tuple[Sequence[Token], int]:
    """Return the tokens, in which `m` between hours and seconds is a minute, and the language of its names."""
    tokens: list[Token] = []
    language = ENGLISH
    for found in _TOKEN.finditer(code):
        kind = found.lastgroup
        if kind in {"language", "currency"}:
            language = _language(found["language"] or "") or language
            if found["currency"]:
                tokens.append(("literal", found["currency"]))
        elif kind in {"quoted", "escaped", "other"}:
            tokens.append(("literal", found[kind]))
        elif kind:
            tokens.append((kind, found[kind].lower() if kind != "noon" else found[kind]))
    units = [place for place, (kind, _) in enumerate(tokens) if kind in {"unit", "elapsed"}]
    for position, place in enumerate(units):
        kind, text = tokens[place]
        if kind == "unit" and text[0] == "m" and len(text) < _NAMES_FROM:
            before = tokens[units[position - 1]][1][0] if position else ""
            behind = tokens[units[position + 1]][1][0] if position + 1 < len(units) else ""
            if before == "h" or behind == "s":
                tokens[place] = ("minute", text)
    return tokens, language


def _language(identifier: str) -> int:
    """Return the language part of an identifier such as `407`; 0 for none and for that of the reader's computer."""
    try:
        number = int(identifier.partition(",")[0], 16) & 0xFFFF
    except ValueError:
        return 0
    return 0 if number in {0xF800, 0xF400} else number & 0x3FF


def _without_literals(code: str) -> str:
    return re.sub(r'"[^"]*"?|\\.|_.|\*.|\[[^\]]*\]|\.0+', "", code, flags=re.DOTALL)
