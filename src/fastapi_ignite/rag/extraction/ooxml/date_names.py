"""Names the months and days in the languages of format codes, as spreadsheet programs show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ENGLISH: Final = 0x09
_LETTERS_OF_SHORT_NAME: Final = 3


@dataclass(frozen=True, slots=True)
class DateNames:
    """The names of one language, January and Monday first. `months_of_days` are those behind the number of a day."""

    months: Sequence[str]
    months_of_days: Sequence[str]
    short_months: Sequence[str]
    days: Sequence[str]
    short_days: Sequence[str]


def _names(
    months: str, days: str, *, short_months: str = "", short_days: str = "", months_of_days: str = ""
) -> DateNames:
    """Short names are the first three letters of the full ones unless they are given."""
    return DateNames(
        months.split(),
        (months_of_days or months).split(),
        short_months.split() or [name[:_LETTERS_OF_SHORT_NAME] for name in months.split()],
        days.split(),
        short_days.split() or [name[:_LETTERS_OF_SHORT_NAME] for name in days.split()],
    )


# By the language part of the identifier in `[$-407]` (MS-LCID); English is the language without one.
DATE_NAMES: Final = {
    ENGLISH: _names(
        "January February March April May June July August September October November December",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    ),
    0x06: _names(  # Danish
        "januar februar marts april maj juni juli august september oktober november december",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    ),
    0x07: _names(  # German
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        short_days="Mo Di Mi Do Fr Sa So",
    ),
    0x0A: _names(  # Spanish
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "lunes martes miércoles jueves viernes sábado domingo",
    ),
    0x0C: _names(  # French
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        short_months="janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        short_days="lun. mar. mer. jeu. ven. sam. dim.",
    ),
    0x10: _names(  # Italian
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    ),
    0x13: _names(  # Dutch
        "januari februari maart april mei juni juli augustus september oktober november december",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        short_months="jan feb mrt apr mei jun jul aug sep okt nov dec",
        short_days="ma di wo do vr za zo",
    ),
    0x14: _names(  # Norwegian
        "januar februar mars april mai juni juli august september oktober november desember",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    ),
    0x15: _names(  # Polish
        "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień",
        "poniedziałek wtorek środa czwartek piątek sobota niedziela",
        short_days="pon. wt. śr. czw. pt. sob. niedz.",
        months_of_days="stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada "
        "grudnia",
    ),
    0x16: _names(  # Portuguese
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    ),
    0x1D: _names(  # Swedish
        "januari februari mars april maj juni juli augusti september oktober november december",
        "måndag tisdag onsdag torsdag fredag lördag söndag",
    ),
}
