"""Brings lines with Hebrew or Arabic, whose characters are known by their places on the page, into reading order.

It undoes what the Unicode bidirectional algorithm (UAX 9) did when the page was laid out: words from right to left are
read from the right, numbers and Latin words among them from the left.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

_FROM_THE_RIGHT: Final = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RIGHT_TO_LEFT: Final = re.compile(f"[{_FROM_THE_RIGHT}]")
_PRESENTATION_FORMS: Final = re.compile("[\ufb1d-\ufdff\ufe70-\ufefc]+")
# One letter stands for the class of each character: R and L letters, 0 digits, s separators, t signs, n anything else.
_CLASSES: Final = {"R": "R", "AL": "R", "L": "L", "EN": "0", "AN": "0", "ES": "s", "CS": "s", "ET": "t"}
_NUMBER: Final = "t*0(?:s?0)*t*"
_ARABIC_NUMBER: Final = "0(?:s?0)*"
_LATIN: Final = "[L0](?:[L0stn]*[L0])?t*"
_REVERSED_WORDS: Final = re.compile("R(?:[R0stn]*R)?")
_BRACKETS: Final = {"(": ")", ")": "(", "[": "]", "]": "[", "{": "}", "}": "{", "<": ">", ">": "<"}
_OPENING: Final = "([{<"


@dataclass(frozen=True, slots=True)
class PlacedText:
    """One or more characters and their box on the page, in points from its lower left corner."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def with_text(self, text: str) -> PlacedText:
        return replace(self, text=text)

    def touches(self, other: PlacedText) -> bool:
        beside = self.right < other.left or self.left > other.right
        return not (beside or self.top < other.bottom or self.bottom > other.top)


def has_right_to_left(text: str) -> bool:
    return _RIGHT_TO_LEFT.search(text) is not None


def reads_from_the_right(text: str) -> bool:
    """Return True if most letters of `text` are Hebrew, Arabic or of another script from right to left."""
    from_the_right = len(_RIGHT_TO_LEFT.findall(text))
    return 2 * from_the_right > sum(map(str.isalpha, text))


def reading_order(line: Sequence[PlacedText], *, page_from_the_right: bool) -> list[PlacedText]:
    """Return the characters of one line in the order in which it is read, marks behind their letters.

    The line is read from the right if its outermost letters are from right to left, or else if the page mostly is.
    """
    seen = sorted(_clusters(line), key=lambda cluster: cluster[0].middle)
    classes = "".join(_class_of(cluster[0]) for cluster in seen)
    letters = classes.replace("0", "").replace("s", "").replace("t", "").replace("n", "")
    if "R" not in letters:
        return list(line)
    from_the_right = page_from_the_right if "L" in {letters[0], letters[-1]} else True
    number = _ARABIC_NUMBER if _is_arabic(line) else _NUMBER
    order = _from_the_right(classes, number) if from_the_right else _from_the_left(classes, number)
    return _with_right_brackets([_normal(part) for place in order for part in seen[place]])


def _from_the_right(classes: str, number: str) -> list[int]:
    from_the_left = re.compile(f"(?=[0stn]*L){_LATIN}|{number}")
    return _backwards(range(len(classes)), [match.span() for match in from_the_left.finditer(classes)])


def _from_the_left(classes: str, number: str) -> list[int]:
    order: list[int] = []
    end = 0
    for words in _REVERSED_WORDS.finditer(classes):
        order += range(end, words.start())
        numbers = [match.span() for match in re.finditer(number, words[0])]
        order += [words.start() + place for place in _backwards(range(len(words[0])), numbers)]
        end = words.end()
    return [*order, *range(end, len(classes))]


def _backwards(places: Sequence[int], kept: Iterable[tuple[int, int]]) -> list[int]:
    """Return the places backwards, but those of the stretches `kept` forwards."""
    order: list[int] = []
    end = len(places)
    for start, stop in reversed(list(kept)):
        order += reversed(places[stop:end])
        order += places[start:stop]
        end = start
    return [*order, *reversed(places[:end])]


def _clusters(line: Sequence[PlacedText]) -> list[list[PlacedText]]:
    """Return letters with their marks, and the letters of one ligature, which share its box."""
    clusters: list[list[PlacedText]] = []
    waiting: list[PlacedText] = []  # marks that belong to the letter that follows them
    for number, part in enumerate(line):
        if unicodedata.combining(part.text[0]):
            before = clusters[-1][0] if clusters else None
            after = next((other for other in line[number + 1 :][:4] if not unicodedata.combining(other.text[0])), None)
            if before is None or (after is not None and _is_within(part, after) and not _is_within(part, before)):
                waiting.append(part)
            else:
                clusters[-1].append(part)
        elif clusters and not waiting and (part.left, part.right) == (clusters[-1][0].left, clusters[-1][0].right):
            clusters[-1].append(part)
        else:
            clusters.append([part, *waiting])
            waiting = []
    if waiting:
        clusters.append(waiting)
    for cluster in clusters:
        cluster.sort(key=lambda part: unicodedata.combining(part.text[0]))  # stable: only marks change places
    return clusters


def _is_within(mark: PlacedText, letter: PlacedText) -> bool:
    return letter.left <= mark.middle <= letter.right


def _class_of(part: PlacedText) -> str:
    return _CLASSES.get(unicodedata.bidirectional(part.text[0]), "n")


def _is_arabic(line: Iterable[PlacedText]) -> bool:
    """Return True for lines in which a sign beside a number is no part of it: a percent sign stands on its left."""
    return any(unicodedata.bidirectional(part.text[0]) == "AL" for part in line)


def _normal(part: PlacedText) -> PlacedText:
    if not _PRESENTATION_FORMS.search(part.text):
        return part
    return part.with_text(unicodedata.normalize("NFKC", part.text))


def _with_right_brackets(parts: list[PlacedText]) -> list[PlacedText]:
    """Turn brackets that look the wrong way: files give the shape of some as it is drawn, of others as it is read."""
    found = list(parts)
    for number, part in enumerate(parts):
        if part.text not in _BRACKETS:
            continue
        begins = number == 0 or parts[number - 1].text.isspace() or parts[number - 1].text in _BRACKETS
        ends = number == len(parts) - 1 or not (parts[number + 1].text.isalnum() or parts[number + 1].text in _BRACKETS)
        if begins not in {ends, part.text in _OPENING}:
            found[number] = part.with_text(_BRACKETS[part.text])
    return found
