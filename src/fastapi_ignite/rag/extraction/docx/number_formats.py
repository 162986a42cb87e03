"""Writes a number in the formats of lists and notes (ECMA-376 part 1, 17.18.59)."""

# ruff: noqa: RUF001 - letters of other scripts are what this module is about
from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi_ignite.rag.extraction.conventions.numerals import LATIN, added_signs, repeated_letter, roman

# A hostile file may start at any number, and letters grow with it.
_LARGEST: Final = 32_767
_LARGEST_KANJI: Final = 9_999

_HEBREW: Final = (
    *((400, "ת"), (300, "ש"), (200, "ר"), (100, "ק"), (90, "צ"), (80, "פ"), (70, "ע"), (60, "ס"), (50, "נ")),
    *((40, "מ"), (30, "ל"), (20, "כ"), (10, "י"), (9, "ט"), (8, "ח"), (7, "ז"), (6, "ו")),
    *((5, "ה"), (4, "ד"), (3, "ג"), (2, "ב"), (1, "א")),
)
# These would spell a name of God with the letters for ten.
_HEBREW_EXCEPTIONS: Final = {15: "טו", 16: "טז"}
_ALPHABETS: Final = {
    "lowerLetter": LATIN,
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя",
    "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "arabicAbjad": "أبجدهوزحطيكلمنسعفصقرشتثخذضظغ",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
    "ganada": "가나다라마바사아자차카타파하",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "aiueoFullWidth": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "irohaFullWidth": "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス",
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸",
    "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
    "chicago": "*†‡§",
}
_UPPER: Final = {"upperLetter": "lowerLetter", "russianUpper": "russianLower"}
_SAME: Final = {
    "aiueo": "aiueoFullWidth",
    "iroha": "irohaFullWidth",
    "chineseCounting": "kanji",
    "chineseCountingThousand": "kanji",
    "taiwaneseCounting": "kanji",
    "taiwaneseCountingThousand": "kanji",
    "japaneseCounting": "kanji",
    "koreanCounting": "kanji",
    "koreanDigital": "ideographDigital",
    "koreanDigital2": "ideographDigital",
    "japaneseDigitalTenThousand": "ideographDigital",
    "taiwaneseDigital": "ideographDigital",
    "decimalFullWidth2": "decimalFullWidth",
    "decimalEnclosedCircleChinese": "decimalEnclosedCircle",
}
_DIGITS: Final = {
    "decimalFullWidth": "０１２３４５６７８９",
    "ideographDigital": "〇一二三四五六七八九",
    "hindiNumbers": "०१२३४५६७८९",
    "thaiNumbers": "๐๑๒๓๔๕๖๗๘๙",
}
# fmt: off
_ONES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_IRREGULAR_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SMALLEST_WORDS: Final = 20
_LARGEST_WORDS: Final = 99


def written_number(number: int, number_format: str) -> str:
    """Return the number as the format shows it; one that the format cannot show is written in decimal digits."""
    name = _SAME.get(number_format, number_format)
    if name in {"none", "bullet"}:
        return ""
    if not 1 <= number <= _LARGEST:
        return str(number)
    if name in _UPPER:
        return repeated_letter(number, _ALPHABETS[_UPPER[name]]).upper()
    if name in _ALPHABETS:
        return repeated_letter(number, _ALPHABETS[name])
    if name in _DIGITS:
        return str(number).translate(str.maketrans("0123456789", _DIGITS[name]))
    write = _WRITERS.get(name)
    return write(number) if write is not None else str(number)


def _hebrew(number: int) -> str:
    rest = number % 100
    if rest in _HEBREW_EXCEPTIONS:
        return added_signs(number - rest, _HEBREW) + _HEBREW_EXCEPTIONS[rest]
    return added_signs(number, _HEBREW)


def _ordinal(number: int) -> str:
    last = number % 100
    ending = "th" if last in range(11, 14) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _words(number: int) -> str:
    if number > _LARGEST_WORDS:
        return str(number)
    if number < _SMALLEST_WORDS:
        return _ONES[number].capitalize()
    tens, ones = divmod(number, 10)
    return (_TENS[tens] + (f"-{_ONES[ones]}" if ones else "")).capitalize()


def _ordinal_words(number: int) -> str:
    if number > _LARGEST_WORDS:
        return _ordinal(number)
    first, hyphen, last = _words(number).lower().rpartition("-")
    ordinal = _IRREGULAR_ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return (first + hyphen + ordinal).capitalize()


def _circled(number: int) -> str:
    return chr(0x2460 + number - 1) if number <= 20 else str(number)  # noqa: PLR2004 - ⑳ is the last of the row


def _kanji(number: int) -> str:
    if number > _LARGEST_KANJI:
        return str(number)
    written = ""
    for value, sign in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, value)
        if digit:
            written += (_DIGITS["ideographDigital"][digit] if digit > 1 or value == 1 else "") + sign
    return written


_WRITERS: Final[dict[str, Callable[[int], str]]] = {
    "lowerRoman": roman,
    "upperRoman": lambda number: roman(number).upper(),
    "hebrew1": _hebrew,
    "decimalZero": lambda number: f"{number:02}",
    "numberInDash": lambda number: f"- {number} -",
    "hex": lambda number: f"{number:X}",
    "ordinal": _ordinal,
    "cardinalText": _words,
    "ordinalText": _ordinal_words,
    "decimalEnclosedCircle": _circled,
    "kanji": _kanji,
}
