"""Shows a date or a time of a spreadsheet, which is a number of days, under its format code."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

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
# Names of months and days by the language part of the identifier in `[$-407]`; English is the language without one.
_MONTHS: Final = {
    0x09: "January February March April May June July August September October November December",
    0x07: "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    0x0C: "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    0x0A: "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    0x10: "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    0x13: "januari februari maart april mei juni juli augustus september oktober november december",
    0x16: "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_DAYS: Final = {
    0x09: "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    0x07: "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    0x0C: "lundi mardi mercredi jeudi vendredi samedi dimanche",
    0x0A: "lunes martes miércoles jueves viernes sábado domingo",
    0x10: "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    0x13: "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    0x16: "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
}
_ENGLISH: Final = 0x09
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
    tokens, language = _tokens(code)
    elapsed = any(kind == "elapsed" for kind, _ in tokens)
    if not 0 <= serial <= (_MOST_ELAPSED_DAYS if elapsed else _LAST_DAY):
        return None
    if epoch_1904 and not elapsed:
        serial += _DAYS_TO_1904
    if language not in _MONTHS and any(
        kind == "unit" and text[0] in "md" and len(text) >= _NAMES_FROM for kind, text in tokens
    ):
        tokens, language = _tokens(_ISO)[0], _ENGLISH
    days, rest = divmod(serial, 1)
    milliseconds = round(rest * _MILLISECONDS)
    if any(kind == "unit" and text[0] == "s" for kind, text in tokens) and not any(
        kind == "fraction" for kind, _ in tokens
    ):
        milliseconds = (milliseconds + 500) // 1000 * 1000
    if milliseconds >= _MILLISECONDS:
        days, milliseconds = days + 1, milliseconds - _MILLISECONDS
    if days > _LAST_DAY and not elapsed:
        return None
    return _Moment(int(days), milliseconds, language).shown(tokens).strip()


def serial_of(moment: dt.datetime, *, epoch_1904: bool) -> float:
    """Return the number of days by which a workbook would store a moment."""
    delta = moment - dt.datetime(1899, 12, 30)  # noqa: DTZ001  # spreadsheets know no time zones
    days = delta / dt.timedelta(days=1)
    return days - _DAYS_TO_1904 if epoch_1904 else days


class _Moment:
    """A day of the 1900 epoch and the milliseconds since its midnight."""

    def __init__(self, days: int, milliseconds: int, language: int) -> None:
        self._days = days
        self._language = language
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

    def shown(self, tokens: Sequence[Token]) -> str:
        halves = any(kind == "noon" for kind, _ in tokens)
        return "".join(self._token(kind, text, halves=halves) for kind, text in tokens)

    def _token(self, kind: str, text: str, *, halves: bool) -> str:
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
            return self._unit(text, halves=halves)
        return text

    def _unit(self, text: str, *, halves: bool) -> str:
        year, month, day = self._date
        letter = text[0]
        if letter in "md" and len(text) >= _NAMES_FROM:
            # the programs count days of the week as if 1 January 1900 had been a Sunday
            return (
                self._name(_MONTHS, month - 1, len(text))
                if letter == "m"
                else self._name(_DAYS, (self._days - 2) % 7, len(text))
            )
        if letter == "y" and len(text) <= 2:  # noqa: PLR2004  # two digits
            return f"{year % 100:02}"
        if letter in "ye":
            return f"{year:04}"
        numbers = {
            "b": year + 543,
            "m": month,
            "d": day,
            "h": (self._hour - 1) % 12 + 1 if halves else self._hour,
            "s": self._second,
        }
        return str(numbers[letter]).zfill(min(len(text), 2)) if letter in numbers else ""

    def _name(self, names: dict[int, str], number: int, width: int) -> str:
        name = names[self._language].split()[number]
        if width == _SHORT:
            return name[:_SHORT]
        return name[0] if width > 4 and names is _MONTHS else name  # noqa: PLR2004  # the first letter


@lru_cache(maxsize=1024)
def _tokens(code: str) -> tuple[Sequence[Token], int]:
    """Return the tokens, in which `m` between hours and seconds is a minute, and the language of its names."""
    tokens: list[Token] = []
    language = _ENGLISH
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
