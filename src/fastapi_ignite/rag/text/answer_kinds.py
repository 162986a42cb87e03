"""Finds what kind of answer a question asks for, such as a person or a price, and whether a text holds one.

A question of another kind, or in a language whose question words are not here, has no kind: any text may answer it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.spelling import without_invisible
from fastapi_ignite.rag.text.words import FUNCTION_WORDS, QUESTION_WORDS, STOP_WORDS, word_list


class AnswerKind(Enum):
    """The kind of answer that a question asks for.

    A count is the number of things that the question names, a measure has a unit, and an amount may be told in words.
    """

    PERSON = "person"
    PLACE = "place"
    TIME = "time"
    DURATION = "duration"
    MONEY = "money"
    COUNT = "count"
    MEASURE = "measure"
    AMOUNT = "amount"
    PHONE = "phone"
    EMAIL = "email"
    COLOUR = "colour"


_INTERROGATIVE: Final = (
    r"\b(?:who|whom|whose|what|which|when|where|why|how|wer|wann|wo|wie|was(?= koste)|welche[rns]?|quand|combien"
    r"|quel\w*|qui)\b"
)
_FIRST_INTERROGATIVE: Final = re.compile(_INTERROGATIVE, re.IGNORECASE)
# "The parcel goes to whom?"
_LAST_INTERROGATIVE: Final = re.compile(rf"{_INTERROGATIVE}\W*\Z", re.IGNORECASE)
# "When the lamp is red, what must I do?"
_BEHIND_CLAUSE: Final = re.compile(r"(?<=, )(?:what|how|who)\b", re.IGNORECASE)

_MONEY_NOUNS: Final = (
    "price|cost|fee|fare|salary|wage|rent|revenue|turnover|budget|deposit|fine|charge|surcharge|supplement|"
    "preis|kosten|prix|tarif"
)
_ASKS_MONEY: Final = (
    r"how much (?:(?:is|are|was|were) (?:the|an?|one|your|our)\b|money\b"
    r"|(?:\w+ ){0,2}?(?:is|are|was|were|do|does|did|will|would|must|can|should|has|have|to)\b"
    r".*\b(?:costs?|pay|paid|charged?|earns?|spen[dt]|worth)\b)"
    rf"|(?:what|how high) (?:is|are|was|were) (?:the|an?|your|our) (?:[\w-]+ ){{0,2}}?(?:{_MONEY_NOUNS})s?\b"
    r"|what (?:do|does|did|will|must)\b.*\b(?:costs?|pay|charge|earn)\b"
    r"|(?:was|wie ?viel)\b.*\bkoste[tn]\b|wie teuer\b|combien\b.*\bco[u\u00fb]te\b"
)
_ASKS_TIME: Final = (
    r"when\b|(?:what|which) (?:\w+ )?(?:year|date|day|month)s?\b|what time\b"
    r"|what (?:is|are) the (?:\w+ )?(?:hours|times)\b|wann\b|quand\b"
)
# the first that matches at the question word
_PATTERNS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (AnswerKind.MONEY, _ASKS_MONEY),
        (AnswerKind.TIME, _ASKS_TIME),
        (AnswerKind.COUNT, r"how many\b|wie ?viele\b|combien d(?:e\b|['\u2019])"),
        (AnswerKind.DURATION, r"how (?:long|old|often|soon|late|quickly)\b|wie (?:lange|oft|alt)\b"),
        (AnswerKind.MEASURE, r"how (?:far|tall|high|fast|wide|deep|heavy|loud|thick|hot|cold)\b"),
        (AnswerKind.AMOUNT, r"how (?:much|large|big)\b"),
        (AnswerKind.PHONE, r"(?:what|which)\b.*\b(?:(?:tele)?phone|fax) numbers?\b|welche (?:telefon|fax)nummer\b"),
        (AnswerKind.EMAIL, r"(?:what|which)\b.*\be-?mail address\b|welche e-?mail-?adresse\b"),
        (AnswerKind.COLOUR, r"(?:what|which)\b.{0,20}\bcolou?rs?\b|welche farben?\b|quelle couleur\b"),
        (AnswerKind.PERSON, r"who(?:m|se)?\b"),
        (AnswerKind.PLACE, r"where\b"),
    )
)

_NUMBER_WORDS: Final = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    "(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:[- ]\\w+)?|hundreds?|thousands?|millions?|billions?|dozens?|"
    "zwei|drei|vier|f\u00fcnf|sechs|sieben|acht|neun|zehn|zw\u00f6lf|deux|trois|quatre|cinq|sept|huit|neuf|dix|douze|trente"
)
# The figure of "NR-5" or "A4" is a part of a name.
_NUMBER: Final = re.compile(rf"(?<![\w-])(?:\d[\d.,/\u00bc-\u00be]{{0,30}}|(?:{_NUMBER_WORDS})\b)", re.IGNORECASE)
# ", two of them" and "5 of the 7" count what was named; "12 kilograms" counts kilograms.
_COUNTED: Final = re.compile(r"[- ](?P<nouns>[^\W\d_]{2,}(?:[- ][^\W\d_]{2,}){0,2})")
_UNITS: Final = (
    r"(?:second|minute|hour|day|night|week|fortnight|month|quarter|year|decade|century|lifetime|couple|few|dozen|third|"
    r"met(?:re|er)|mile|inch|foot|kilo\w*|ton|lit(?:re|er))s?\b"
)
_QUANTITY: Final = re.compile(
    rf"(?<![\w-])(?:\d[\d.,/]{{0,30}}|(?:{_NUMBER_WORDS}|half|several|few|an?(?= {_UNITS}))\b)"
    r"(?: ?[%\u00b0$\u20ac\u00a3]|[- ]?[^\W\d_]+)"
    r"|\bage(?:d| of)? \d|[$\u20ac\u00a3\u00a5] ?\d",
    re.IGNORECASE,
)
_AMOUNT_WORDS: Final = word_list(
    "no none nobody nothing never once twice thrice half both single double several free any all every each per always "
    "daily weekly monthly quarterly yearly annually hourly more less most few many whole"
)
_COUNT_WORDS: Final = word_list("none nobody nothing never both once twice thrice half single double several")
_DURATION_WORDS: Final = word_list(
    "until always never century centuries decade decades permanently indefinitely indefinite lifetime forever once "
    "twice daily weekly monthly quarterly "
    "yearly annually hourly every each immediately bis immer nie unbestimmte jusqu toujours jamais"
)
_TIME_WORDS: Final = word_list(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec monday mondays tuesday tuesdays wednesday wednesdays thursday thursdays friday fridays "
    "saturday saturdays sunday sundays weekday weekdays weekend weekends christmas easter "
    "morning noon afternoon evening night midnight dawn dusk today tomorrow yesterday day days week weeks month months "
    "year years spring summer autumn winter century centuries decade decades after before until since during while "
    "when once always never daily weekly monthly yearly annually immediately every as "
    "januar februar m\u00e4rz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag "
    "sonntag tag tage tagen woche wochen monat monate monaten jahr jahre jahren nach vor bis seit sofort uhr "
    "janvier f\u00e9vrier mars avril juin juillet ao\u00fbt septembre octobre novembre d\u00e9cembre lundi mardi "
    "mercredi jeudi vendredi samedi dimanche jour jours semaine semaines mois an ans ann\u00e9e ann\u00e9es apr\u00e8s "
    "avant depuis"
)
# "A car is rented only where no train runs."
_CONDITION_WORDS: Final = word_list("if unless where whenever wherever wenn falls sofern si lorsque")
_POINT_IN_TIME: Final = re.compile(
    r"\b\d{1,2}[:.h]\d{2}\b|\b\d{1,2} ?(?:am|pm|a\.m|p\.m|o'clock)\b|\b(?:1\d|20)\d\d(?:s\b|\b(?![.,]?\d))"
    r"|\b\d{1,2}(?:st|nd|rd|th)\b|\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|\b\d+ (?:BC|AD|BP|B?CE)\b|\b(?:AD|BC) \d",
    re.IGNORECASE,
)
_SPOKEN_HOUR: Final = re.compile(
    r"\b(?:at|from|to|until|till|by|past) (?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b",
    re.IGNORECASE,
)
_CURRENCY: Final = re.compile(
    r"[$\u20ac\u00a3\u00a5\u20b9%]|(?<![\w.,-])\d{1,6}[.,]\d\d(?![\w.,]\d)|\b(?:euros?|dollars?|pounds?|francs?|cents?|pence|yen|rupees?|crowns?|kron\w+|percent"
    r"|per cent|(?-i:EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD))\b",
    re.IGNORECASE,
)
# "The tenant pays eight hundred in advance."
_PRICE: Final = re.compile(rf"\b(?:{_MONEY_NOUNS})s?\b", re.IGNORECASE)
_FREE: Final = re.compile(
    r"(?<!not )\b(?:free|gratis|included|unpaid|nothing|kostenlos|gratuit\w*|no (?:charge|fee|cost))\b", re.IGNORECASE
)
_PLACE: Final = re.compile(
    r"\b(?:in|at|on|to|near|behind|beside|inside|outside|into|under|above|below|between|opposite|along|around|across|from"
    r"|throughout|of)\s+(?P<words>(?:[\w'\u2019-]+\s+){0,4}[\w'\u2019-]+)",
    re.IGNORECASE,
)
# A capital inside a sentence, behind a colon or a bracket, or before another one.
_NAME: Final = re.compile(
    r"(?<=[\w,;)'\u2019] )[\"'\u201c\u2018(]?(?P<inside>[^\W\d_a-z][\w'\u2019-]*)"
    r"|(?<=[:(] )(?P<behind>[^\W\d_a-z][\w-]+)|(?<=\()(?P<bracketed>[^\W\d_a-z][\w-]+)"
    r"|\b(?P<first>[A-Z][a-z]+)(?= [A-Z])"
)
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_PHONE: Final = re.compile(r"\+\d|\d[\d /()-]{5,}\d|\b(?:phone|tel|telephone|extension|fax|dial)\b\W*\d", re.IGNORECASE)
_EMAIL: Final = re.compile(r"\w@\w")
_COLOURS: Final = word_list(
    "black white grey gray red orange yellow green blue purple violet pink brown beige silver gold golden transparent "
    "schwarz wei\u00df grau rot gelb gr\u00fcn blau braun noir blanc gris rouge jaune vert bleu marron"
)
_FIGURE: Final = re.compile(r"(?<![\w-])\d")
_TOLD_BY_COLUMNS: Final = frozenset({AnswerKind.COUNT, AnswerKind.DURATION, AnswerKind.MEASURE, AnswerKind.AMOUNT})
_SIGNS: Final = {
    AnswerKind.TIME: ((_POINT_IN_TIME, _SPOKEN_HOUR), _TIME_WORDS | _CONDITION_WORDS),
    AnswerKind.DURATION: ((_QUANTITY, _POINT_IN_TIME), _DURATION_WORDS),
    AnswerKind.MEASURE: ((_QUANTITY,), frozenset[str]()),
    AnswerKind.AMOUNT: ((_QUANTITY,), _AMOUNT_WORDS),
    AnswerKind.PHONE: ((_PHONE,), frozenset[str]()),
    AnswerKind.EMAIL: ((_EMAIL,), frozenset[str]()),
    AnswerKind.COLOUR: ((), _COLOURS),
}
_NO_NAMES: Final = _TIME_WORDS | FUNCTION_WORDS
_BE: Final = word_list("is are was were be been being")
_DO: Final = word_list("do does did")
_PASSIVE_REACH: Final = 4
# "Who is the managing director of ...?"
_ROLE: Final = re.compile(
    r"\b(?:who|wer|qui) (?:is|are|was|were|ist|sind|war|est) (?:the|an?|our|your|der|die|das|le|la|les) "
    r"(?P<words>.{2,80}?)(?: (?:of|in|at|for|on|to|from|with|that|who|which|by|der|des|von|vom|bei|im|de|du)\b|\W*\Z)",
    re.IGNORECASE,
)
_HOURS: Final = re.compile(r"\bwhat (?:is|are) the (?P<words>\w{2,40}) (?:hours|times)\b", re.IGNORECASE)
_AUXILIARIES: Final = word_list("do does did has have had will would can could may might must should")
_PARTICIPLES: Final = word_list("born built held kept made sold taken written")
# "When does it begin?" asks for a time, and "Where is it based?" for a place, whatever the verb.
_IMPLIED_VERBS: Final = word_list("last take cost begin start end based located situated released published dated")


def asked_kind(question: str) -> AnswerKind | None:
    """Return the kind of answer that a question asks for, or None."""
    match = _asking_word(question)
    if match is None:
        return None
    return next((kind for kind, pattern in _PATTERNS if pattern.match(question, match.start())), None)


def _asking_word(question: str) -> re.Match[str] | None:
    match = _LAST_INTERROGATIVE.search(question) or _FIRST_INTERROGATIVE.search(question)
    if match and match.group().casefold() == "when":
        return _BEHIND_CLAUSE.search(question, match.end()) or match
    return match


def relation_terms(question: str) -> frozenset[str]:
    """Return the terms that say what is asked of a subject: a role, "opening" of hours, or the verb at the end.

    Other questions have none, for instance those with "what", since documents put their words in many ways.
    """
    if match := _ROLE.search(question) or _HOURS.search(question):
        return frozenset(analyze(match["words"]))
    asking = _asking_word(question)
    if asking is None or asking.group().casefold() not in {"when", "where"}:
        return frozenset()
    return frozenset(analyze(_verb_at_end([word.casefold() for word in _WORD.findall(question, asking.end())])))


def _verb_at_end(words: list[str]) -> str:
    """Return the verb at the end of "does she live" or "was it founded", or nothing."""
    between, last = frozenset(words[:-1]), words[-1] if words else ""
    if last in _IMPLIED_VERBS:
        return ""
    if between & _AUXILIARIES:
        return last
    return last if between & _BE and (last.endswith("ed") or last in _PARTICIPLES) else ""


def holds_kind(
    kind: AnswerKind, question: str, asked: frozenset[str], text: str, context: str = "", *, is_row: bool = False
) -> bool:
    """Return whether a text that stands below `context` holds an answer of this kind.

    `asked` has the terms of the question and their synonyms. A column says what the number in a row is, so any number
    will do there, except for money.
    """
    text = without_invisible(text)
    if is_row and kind in _TOLD_BY_COLUMNS and has_figure(text):
        return True
    match kind:
        case AnswerKind.PERSON:
            return _has_other_name(text, asked) or _has_agent(text, question, asked)
        case AnswerKind.PLACE:
            return is_row or _has_place(text, asked)
        case AnswerKind.MONEY:
            return _has_money(text, context)
        case AnswerKind.COUNT:
            return _has_any(text, _COUNT_WORDS) or _counts(text, asked)
        case _:
            patterns, words = _SIGNS[kind]
            return _has_any(text, words) or any(pattern.search(text) for pattern in patterns)


def has_figure(text: str) -> bool:
    """Return whether a text has a number in digits that is no part of a name such as "NR-5"."""
    return _FIGURE.search(text) is not None


def _has_any(text: str, words: frozenset[str]) -> bool:
    return any(part in words for word in _WORD.findall(text) for part in word.casefold().split("-"))


def _has_money(text: str, context: str) -> bool:
    if _FREE.search(text):
        return True
    # "The fee includes: two inspections" tells no price
    told_by = f"{context}\n{text}" if has_figure(text) else text
    return _NUMBER.search(text) is not None and any(pattern.search(told_by) for pattern in (_CURRENCY, _PRICE))


def _has_other_name(text: str, asked: frozenset[str]) -> bool:
    """Return whether a text has a name that the question has not."""
    for match in _NAME.finditer(text):
        word = next(group for group in match.groups() if group)
        if word.casefold() not in _NO_NAMES and not asked.issuperset(analyze(word)):
            return True
    return False


def _has_agent(text: str, question: str, asked: frozenset[str]) -> bool:
    """Return whether somebody does in the text what the question asks about: "the fire brigade lends the tents".

    "The cable was replaced" tells nobody, and "the treasurer" does not tell who that is.
    """
    words = [word.casefold() for word in _WORD.findall(question)]
    position = next((at for at, word in enumerate(words) if word in {"who", "whom", "whose"}), len(words))
    following = words[position + 1 :]
    if not following or following[0] in _DO:
        return True
    if _ROLE.search(question):
        return False
    action = next((terms for word in following if word not in QUESTION_WORDS and (terms := analyze(word))), [])
    # "kept" for "keeps", "mended" for "repairs"
    actions = asked.difference(analyze(question)).union(action)
    told = [word.casefold() for word in _WORD.findall(text)]
    return any(
        "by" in told[at + 1 :] or _BE.isdisjoint(told[max(at - _PASSIVE_REACH, 0) : at])
        for at, word in enumerate(told)
        if not actions.isdisjoint(analyze(word))
    )


def _has_place(text: str, asked: frozenset[str]) -> bool:
    """Return whether "in", "near" or the like stands before something else than a time or what the question names."""
    for match in _PLACE.finditer(text):
        for word in match["words"].split():
            lower = word.casefold()
            if lower[0].isdigit() or lower in _TIME_WORDS:
                break
            if lower not in STOP_WORDS and not asked.issuperset(analyze(word)):
                return True
    return False


def _counts(text: str, asked: frozenset[str]) -> bool:
    """Return whether a number counts what the question names, or stands alone: of "64 customers" no employees."""
    return any(not counted or counted & asked for counted in _counted_terms(text))


def _counted_terms(text: str) -> Iterator[frozenset[str]]:
    text = _POINT_IN_TIME.sub(" ", text)
    for number in _NUMBER.finditer(text):
        counted = _COUNTED.match(text, number.end())
        if counted is None or counted["nouns"].split()[0].casefold() in FUNCTION_WORDS:
            yield frozenset()
        else:
            yield frozenset(analyze(counted["nouns"]))
