"""Shows a number the way a spreadsheet program shows it under its number format (ECMA-376 part 1, 18.8.30 and 18.8.31).

The file holds `0.475` and the format `0.00%`; people see `47.50%`. Decimals and thousands are set off the English way,
as the file does not say how its reader's computer does it. Blanks that only align a column (`_)`) and fillers (`* `)
are left out, and so are colours.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import takewhile
from typing import Final

from fastapi_ignite.rag.extraction.ooxml.date_formats import date_text, is_date_code

GENERAL: Final = "General"
_LONGEST_CODE: Final = 255
_MOST_DECIMALS: Final = 30
_MOST_DENOMINATOR_DIGITS: Final = 4
_SMALLEST_PLAIN: Final = 1e-9
_LARGEST_PLAIN: Final = 1e21
_LARGEST_FORMATTED: Final = 1e100
_TIE: Final = 1e-6

# The formats that have a number and no code in the file (18.8.30). Date and time of the system (14, 22), which look
# different on every computer, are shown the way ISO 8601 writes them; so are the East Asian dates (27 to 36, 50 to 58).
BUILT_IN_FORMATS: Final = {
    0: GENERAL, 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00",
    5: '"$"#,##0;\\-"$"#,##0', 6: '"$"#,##0;\\-"$"#,##0', 7: '"$"#,##0.00;\\-"$"#,##0.00',
    8: '"$"#,##0.00;\\-"$"#,##0.00',
    9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm",
    21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"), **dict.fromkeys((32, 34), "h:mm"),
    **dict.fromkeys((33, 35), "h:mm:ss"),
    37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)",
    41: '#,##0;(#,##0);"-"', 42: '"$"#,##0;("$"#,##0);"-"', 43: '#,##0.00;(#,##0.00);"-"',
    44: '"$"#,##0.00;("$"#,##0.00);"-"',
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}  # fmt: skip

_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<exponent>[Ee][+-])|(?P<digit>[0#?])|(?P<mark>[.,%/@])|(?P<other>.)",
    re.DOTALL | re.IGNORECASE,
)
_PLAIN_DECIMAL: Final = re.compile(r"(#,##)?0(?:\.(0{1,15}))?")
_CONDITION: Final = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)$")
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
Token = tuple[str, str]
_COMMA: Final[Token] = ("mark", ",")


@dataclass(frozen=True, slots=True)
class _PlainDecimal:
    """A format of the most common form, such as `#,##0.00 "€"`. It is ten times as fast as its tokens."""

    prefix: str
    grouped: bool
    decimals: int
    percent: bool
    suffix: str

    def shown(self, value: float) -> str:
        digits = _rounded(value * 100 if self.percent else value, self.decimals)
        if self.grouped:
            whole, point, part = digits.partition(".")
            digits = f"{int(whole):,}{point}{part}"
        return f"{self.prefix}{digits}{self.suffix}"


@dataclass(frozen=True, slots=True)
class _Section:
    """One of up to four formats that a code holds, set off by semicolons."""

    code: str
    tokens: tuple[Token, ...]
    condition: Callable[[float], bool] | None
    is_date: bool
    plain: _PlainDecimal | None

    @property
    def shows_nothing(self) -> bool:
        if self.plain is not None:
            return False
        return not any(kind == "literal" and text.strip() for kind, text in self.tokens) and not any(
            kind in {"digit", "general"} or text == "@" for kind, text in self.tokens
        )


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A compiled format code. `is_date` says that its numbers are days since the epoch of the workbook."""

    is_date: bool
    is_general: bool
    sections: tuple[_Section, ...]

    def number(self, value: float, *, epoch_1904: bool = False) -> str:
        """Show a number. One that the format hides, or that is no valid date, is shown as without a format."""
        if self.is_general or not abs(value) < _LARGEST_FORMATTED:
            return general_text(value)
        section, value = _section_for(self.sections, value)
        if section is None:
            return general_text(value)
        if section.is_date:
            return date_text(section.code, value, epoch_1904=epoch_1904) or general_text(value)
        return _number(section, value) or general_text(value)

    def text(self, value: str) -> str:
        """Show a text: the format may put words around it."""
        section = self.sections[3] if len(self.sections) > 3 else self.sections[0] if len(self.sections) == 1 else None  # noqa: PLR2004  # the fourth section is for texts
        if section is None or ("mark", "@") not in section.tokens:
            return value
        return "".join(
            value if (kind, text) == ("mark", "@") else text if kind == "literal" else ""
            for kind, text in section.tokens
        )


@lru_cache(maxsize=4096)
def number_format(code: str) -> NumberFormat:
    """Compile a format code. One that is too long to be honest is taken as General."""
    if len(code) > _LONGEST_CODE or code.strip().lower() in {"", "general", "standard"}:
        code = GENERAL
    sections = tuple(map(_section, _split(code)[:4]))
    return NumberFormat(any(section.is_date for section in sections[:1]), code == GENERAL, sections)


def general_text(value: float) -> str:
    """Show a number without a format: to fifteen digits, which is what the programs compute with.

    A program shortens such a number further to the width of its column; the number that it holds is not shortened.
    """
    if not math.isfinite(value):
        return "#NUM!"
    shown = f"{value:.15g}"
    if "e" not in shown:
        return shown if value else "0"
    size = abs(value)
    if size and not _SMALLEST_PLAIN <= size < _LARGEST_PLAIN:
        mantissa, _, exponent = f"{value:.14E}".partition("E")
        return f"{mantissa.rstrip('0').rstrip('.')}E{exponent}"
    if value == int(value):
        return str(int(Decimal(shown)))
    return format(Decimal(shown), "f")


def _split(code: str) -> list[str]:
    """Split at semicolons outside quotes, brackets and escapes."""
    pieces = re.findall(r'"[^"]*"?|\\.|\[[^\]]*\]|[^"\\\[;]+|.', code, re.DOTALL)
    sections = [""]
    for piece in pieces:
        if piece == ";":
            sections.append("")
        else:
            sections[-1] += piece
    return sections


def _section(code: str) -> _Section:
    tokens: list[Token] = []
    condition: Callable[[float], bool] | None = None
    for found in _TOKEN.finditer(code):
        kind = found.lastgroup
        text = found[kind] if kind else ""
        if kind in {"quoted", "escaped", "currency", "other"}:
            tokens.append(("literal", text))
        elif kind == "bracket":
            condition = _condition(text) or condition
        elif kind:
            tokens.append((kind, text))
    return _Section(code, tuple(tokens), condition, is_date_code(code), _plain_decimal(tokens))


def _plain_decimal(tokens: list[Token]) -> _PlainDecimal | None:
    places = [place for place, (kind, _) in enumerate(tokens) if kind == "digit"]
    if not places:
        return None
    before, behind = tokens[: places[0]], tokens[places[-1] + 1 :]
    found = _PLAIN_DECIMAL.fullmatch("".join(text for _, text in tokens[places[0] : places[-1] + 1]))
    percents = behind.count(("mark", "%"))
    if found is None or percents > 1 or any(kind != "literal" for kind, _ in before):
        return None
    if any(kind != "literal" and text != "%" for kind, text in behind):
        return None
    prefix, suffix = ("".join(text for _, text in part) for part in (before, behind))
    return _PlainDecimal(prefix, bool(found[1]), len(found[2] or ""), percents > 0, suffix)


def _condition(text: str) -> Callable[[float], bool] | None:
    found = _CONDITION.match(text)
    if not found:
        return None
    compare, bound = _COMPARISONS[found[1]], float(found[2])
    return lambda value: compare(value, bound)


def _section_for(sections: tuple[_Section, ...], value: float) -> tuple[_Section | None, float]:
    """Return the section for a number, and the number without its sign where the section says the sign itself."""
    if len(sections) == 1 and sections[0].condition is None:
        only = sections[0]
        return (None if not only.is_date and only.shows_nothing else only), value
    numeric = sections[:3]
    if any(section.condition for section in numeric):
        for section in numeric:
            if section.condition is None or section.condition(value):
                return (None if section.shows_nothing else section), value
        return None, value
    position = 0
    if len(numeric) > 1 and value < 0:
        position, value = 1, -value
    elif len(numeric) > 2 and value == 0:  # noqa: PLR2004  # positive, negative, zero
        position = 2
    section = numeric[position]
    if not section.is_date and section.shows_nothing:
        return None, -value if position == 1 else value
    return section, value


def _number(section: _Section, value: float) -> str:
    tokens = section.tokens
    if section.plain is None and not any(kind == "digit" for kind, _ in tokens):
        shown = "".join(
            general_text(value) if kind == "general" or text == "@" else text
            for kind, text in tokens
            if kind in {"general", "literal"} or text in {"@", "%"}
        )
        return shown.strip()
    sign = "-" if value < 0 else ""
    value = abs(value)
    if section.plain is not None:
        return (sign + section.plain.shown(value)).strip()
    if any(token == ("mark", "/") for token in tokens):
        shown = _fraction(tokens, value)
    elif any(kind == "exponent" for kind, _ in tokens):
        shown = _scientific(tokens, value)
    else:
        shown = _decimal(tokens, value)
    return (sign + shown).strip()


def _decimal(tokens: tuple[Token, ...], value: float) -> str:
    number = value * 100.0 ** sum(text == "%" for kind, text in tokens if kind == "mark")
    point = next((place for place, token in enumerate(tokens) if token == ("mark", ".")), len(tokens))
    digits = [place for place in range(point) if tokens[place][0] == "digit"]
    grouped = bool(digits) and any(tokens[place] == _COMMA for place in range(digits[0], digits[-1]))
    scale = _commas_behind_digits(tokens[:point]) + _commas_behind_digits(tokens[point:])
    decimals = min(sum(kind == "digit" for kind, _ in tokens[point:]), _MOST_DECIMALS)
    whole, _, part = _rounded(number / 1000.0**scale, decimals).partition(".")
    shown_whole = _whole(tokens[:point], "" if whole == "0" else whole, grouped=grouped)
    return shown_whole + _part(tokens[point:], part)


def _commas_behind_digits(tokens: tuple[Token, ...]) -> int:
    """Count the commas that follow the last place directly: each divides the number by a thousand."""
    last = max((place for place, (kind, _) in enumerate(tokens) if kind == "digit"), default=len(tokens))
    return len(list(takewhile(lambda token: token == _COMMA, tokens[last + 1 :])))


def _rounded(value: float, decimals: int) -> str:
    """Round half up, on the fifteen digits that the programs compute with; `1.005` is `1.01` there."""
    scaled = value * 10.0**decimals
    if abs(scaled - int(scaled) - 0.5) > _TIE and scaled < 1e15:  # noqa: PLR2004  # fifteen digits
        return f"{value:.{decimals}f}"
    exact = Decimal(f"{value:.15g}")
    if exact.adjusted() + decimals > 25:  # noqa: PLR2004  # more digits than a context of Decimal holds
        return f"{value:.{decimals}f}"
    return format(exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP), "f")


def _whole(tokens: tuple[Token, ...], digits: str, *, grouped: bool) -> str:
    """Fill the places before the point."""
    fills = _fills([text for kind, text in tokens if kind == "digit"], digits, grouped=grouped)
    shown = "".join(
        next(fills, "") if kind == "digit" else text if kind == "literal" or text == "%" else ""
        for kind, text in tokens
    )
    return shown if any(kind == "digit" for kind, _ in tokens) else digits + shown


def _fills(places: list[str], digits: str, *, grouped: bool) -> Iterator[str]:
    """Yield what stands in each place: the last digits in the last ones, and the first one takes all that are left."""
    missing = len(places) - len(digits)
    padding = [{"0": "0", "?": " "}.get(place, "") for place in places[: max(missing, 0)]]
    left = digits[: 1 - missing] if missing < 0 else ""
    fills = [*padding, *([left] if left else []), *digits[len(left) :]]
    behind = sum(fill.isdigit() for fill in fills) + max(len(left) - 1, 0)
    for fill in fills:
        shown = ""
        for sign in fill:
            behind -= sign.isdigit()
            shown += f"{sign}," if grouped and sign.isdigit() and behind and behind % 3 == 0 else sign
        yield shown


def _part(tokens: tuple[Token, ...], digits: str) -> str:
    """Fill the places behind the point; zeros at the end stand only where the format wants them."""
    needed = len(digits.rstrip("0"))
    shown: list[str] = []
    place = 0
    for kind, text in tokens:
        if kind == "digit":
            if text == "0" or place < needed:
                shown.append(digits[place] if place < len(digits) else "0")
            elif text == "?":
                shown.append(" ")
            place += 1
        elif kind == "literal" or text in {".", "%"}:
            shown.append(text)
    return "".join(shown)


def _scientific(tokens: tuple[Token, ...], value: float) -> str:
    place = next(position for position, (kind, _) in enumerate(tokens) if kind == "exponent")
    mantissa, rest = tokens[:place], tokens[place + 1 :]
    point = next((position for position, token in enumerate(mantissa) if token == ("mark", ".")), len(mantissa))
    step = max(1, sum(kind == "digit" for kind, _ in mantissa[:point]))
    decimals = min(sum(kind == "digit" for kind, _ in mantissa[point:]), _MOST_DECIMALS)
    exponent = Decimal(value).adjusted() if value else 0
    exponent -= exponent % step if step > 1 else 0
    digits = _rounded(float(Decimal(value).scaleb(-exponent)), decimals)
    if len(digits.partition(".")[0]) > step:
        exponent += step
        digits = _rounded(float(Decimal(value).scaleb(-exponent)), decimals)
    whole, _, part = digits.partition(".")
    sign = "-" if exponent < 0 else "+" if tokens[place][1].endswith("+") else ""
    shown_exponent = _whole(rest, str(abs(exponent)), grouped=False) or "0"
    return f"{_whole(mantissa[:point], whole, grouped=False)}{_part(mantissa[point:], part)}E{sign}{shown_exponent}"


def _fraction(tokens: tuple[Token, ...], value: float) -> str:
    slash = tokens.index(("mark", "/"))
    code = "".join(text for _, text in tokens)
    before = "".join(text if kind != "literal" else " " for kind, text in tokens[:slash]).split()
    fixed = re.search(r"/\s*([1-9]\d*)", code)
    digits = sum(kind == "digit" for kind, _ in tokens[slash:])
    has_whole = len(before) > 1
    whole = int(value) if has_whole else 0
    exact = Fraction(Decimal(f"{value:.15g}")) - whole
    if fixed and int(fixed[1]) < 10**_MOST_DENOMINATOR_DIGITS:
        denominator = int(fixed[1])
        numerator = int(exact * denominator + Fraction(1, 2))
    else:
        nearest = exact.limit_denominator(10 ** min(max(digits, 1), _MOST_DENOMINATOR_DIGITS) - 1)
        numerator, denominator = nearest.numerator, nearest.denominator
    if has_whole and numerator == denominator:
        whole, numerator = whole + 1, 0
    if not has_whole:
        return f"{numerator}/{denominator}"
    if not numerator:
        return str(whole)
    return f"{whole} {numerator}/{denominator}" if whole else f"{numerator}/{denominator}"
