"""Says whether a point ends a sentence or belongs to an abbreviation, an initial or an ordinal number."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.text.words import word_list

# English, German, French, Spanish, and a few of Italian, Portuguese, Dutch and Russian, without their last point
_ABBREVIATIONS: Final = word_list(
    "mr mrs ms dr prof st sr jr inc ltd co corp llc plc bros dept est nos vol pp fig figs eq sec ch arts al vs "
    "etc eg ie cf ca approx resp jan feb apr jun jul aug sep sept oct nov dec gen col sgt capt lt gov sen rep "
    "rev hon ave blvd rd mt ft bldg ph.d b.sc m.sc ed eds incl excl tel ext hr hrs qty ref refs para paras "
    "nr abs bzw bzgl usw ggf evtl inkl exkl zzgl vgl sog ziff kap bd hrsg aufl anm mio mrd str geb gest abt dipl "
    "dr.-ing std hl zw entspr einschl gem lfd vorm nachm mo di mi do sa okt dez mär "
    "mme mlle av bd chap env ex éd réf tél janv févr avr juil déc cie hab pl "
    "sra srta dra dña ud uds vd vds núm pág págs avda cía depto dpto ej ee uu ss rr apdo ene ago dic izq dcha "
    "máx mín aprox sig sigg dott avv pag ecc exmo exma bijv enz blz "
    # Russian and Ukrainian
    "\u0433\u0433 \u0438\u043c \u0442\u044b\u0441 \u043c\u043b\u043d "
    "\u043c\u043b\u0440\u0434 \u0440\u0443\u0431 \u0441\u0442\u0440 \u0440\u0438\u0441 "
    "\u0441\u043c \u0434\u0440 \u043f\u0440 \u0433\u0440\u043d"
)
# These are words too, and abbreviations only where a number follows.
_BEFORE_NUMBERS: Final = word_list("no art max min mar fr nr s p n")
_INITIALS: Final = re.compile(r"[(\"'\u201c\u2018\u201e\u00ab\[]*(?:[^\W\d_]\.)+")
_OPENING: Final = "(\"'\u201c\u2018\u201e\u00ab["
_NUMBER_NEXT: Final = re.compile(r"\s*(?:\d|[IVXLC]+\b)")
_ORDINAL: Final = re.compile(r"\d{1,2}\.")
# what German and other languages count with an ordinal: "am 31. Dezember", "im 3. Quartal"
_COUNTED: Final = re.compile(
    r"\s*(?:Jan|Feb|M\u00e4r|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez|Quartal|Halbjahr|Jahrhundert|Kapitel|Abschnitt|Absatz"
    r"|Stock|Etage|Obergescho|Auflage|Lebensjahr|Kalender|Werktag|Tag|Monat|Woche)"
)


def is_abbreviation(text: str, begin: int, end: int) -> bool:
    """Return whether the point at the end belongs to an abbreviation such as "U.S.", "J." or "Inc."."""
    if text[end - 1] != ".":
        return False
    if end - begin > 1 and "\u0e00" <= text[end - 2] <= "\u0eff":
        return True  # Thai and Lao end no sentence with a point
    start = end
    # not a search of all before it: a sentence may hold thousands of abbreviations
    while start > begin and not text[start - 1].isspace():
        start -= 1
    word = text[start:end]
    if _INITIALS.fullmatch(word) is not None:
        return True
    # "d'env. 800 euros": an article or a preposition may stand before it without a blank
    plain = re.split("['\u2019]", word.strip(_OPENING + "."))[-1].lower()
    if plain in _BEFORE_NUMBERS:
        return _NUMBER_NEXT.match(text, end) is not None
    if plain in _ABBREVIATIONS:
        return True
    return _ORDINAL.fullmatch(word) is not None and _COUNTED.match(text, end) is not None
