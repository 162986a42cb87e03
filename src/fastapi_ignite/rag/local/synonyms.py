"""Names words that people use for each other in questions about a company's documents.

The embedding model knows many more. This list is for the words alone, which count beside it, and for a project without
an embedder. Every group is of one sense; a word with several senses stands only in the group of the usual one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi_ignite.rag.text.analysis import analyze

_GROUPS: Final = (
    "price cost fee charge",
    "vacation holiday leave",
    "employee staff worker",
    "salary wage pay",
    "phone telephone",
    "email mail",
    "begin start",
    "end expire finish",
    "buy purchase",
    "guarantee warranty",
    "cancel terminate",
    "repair fix mend",
    "deadline due",
    "reply answer respond",
    "supervisor boss manager",
    "author write",
    "sign signature",
    "customer client",
    "company firm",
    "include contain cover",
    "meal food",
    "trip journey travel",
    "car vehicle",
    "yearly annual year",
    "monthly month",
    "duration period",
    "receive get",
    "responsible liable",
)
# Stemming does not join the forms of these verbs. Verbs of which a form is another word too ("found", "left") are out.
_IRREGULAR_VERBS: Final = (
    "become became",
    "begin began begun",
    "break broke broken",
    "bring brought",
    "build built",
    "buy bought",
    "catch caught",
    "choose chose chosen",
    "come came",
    "deal dealt",
    "do did done",
    "draw drew drawn",
    "drive drove driven",
    "eat ate eaten",
    "fight fought",
    "forbid forbade forbidden",
    "get got gotten",
    "give gave given",
    "go went gone",
    "grow grew grown",
    "hide hid hidden",
    "hold held",
    "keep kept",
    "know knew known",
    "lead led",
    "lend lent",
    "lose lost",
    "make made",
    "mean meant",
    "meet met",
    "pay paid",
    "run ran",
    "say said",
    "sell sold",
    "send sent",
    "show shown",
    "sing sang sung",
    "sleep slept",
    "speak spoke spoken",
    "spend spent",
    "steal stole stolen",
    "swim swam swum",
    "take took taken",
    "teach taught",
    "tell told",
    "think thought",
    "throw threw thrown",
    "win won",
    "write wrote written",
)


def _by_term() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for group in (*_GROUPS, *_IRREGULAR_VERBS):
        terms = list(dict.fromkeys(analyze(group)))
        for term in terms:
            others = [other for other in terms if other != term]
            found[term] = (*found.get(term, ()), *others)
    return found


_SYNONYMS: Final = _by_term()


def synonyms_of(term: str) -> tuple[str, ...]:
    """Return the terms that may stand for a term. Both are stems, as `analyze` gives them."""
    return _SYNONYMS.get(term, ())
