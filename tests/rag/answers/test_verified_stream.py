"""What a listener hears of an answer that grows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from fastapi_ignite.rag.answers.passage import Quote
from fastapi_ignite.rag.answers.verified_stream import VerifiedStream
from fastapi_ignite.rag.engine import Citation, FoundPassage


def quote(start: int) -> Quote:
    return Quote(uuid4(), "words", start, start + 5, None, 1.0)


class Heard:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.places: list[int] = []

    async def found(self, passages: Sequence[FoundPassage]) -> None:
        raise AssertionError(passages)

    async def cited(self, citation: Citation) -> None:
        self.places.append(citation.char_start)

    async def said(self, text: str) -> None:
        self.words.append(text)


class Proof:
    """True are quotes that begin before 100."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.may_be_read = True

    async def __call__(self, quotes: Sequence[Quote]) -> tuple[list[Quote], bool]:
        self.asked += [quote.char_start for quote in quotes]
        return [quote for quote in quotes if quote.char_start < 100], self.may_be_read


async def test_nothing_is_said_before_a_quote_is_true_and_all_is_then() -> None:
    heard, proof = Heard(), Proof()
    telling = VerifiedStream(heard, proof)
    false, true = quote(100), quote(0)
    await telling.tell("One.", [false])
    assert (heard.words, heard.places) == ([], [])
    await telling.tell("One. Two.", [false, true])
    await telling.tell("One. Two. Three.", [false, true])
    assert (heard.words, heard.places) == (["One. Two.", " Three."], [0])
    assert proof.asked == [100, 0], "each once"


async def test_what_is_not_new_is_not_looked_up() -> None:
    heard, proof = Heard(), Proof()
    telling = VerifiedStream(heard, proof)
    for _ in range(2):
        await telling.tell("One.", [quote(0)])
    assert len(proof.asked) == len(heard.words) == 1


async def test_after_a_removal_there_is_silence() -> None:
    heard, proof = Heard(), Proof()
    telling = VerifiedStream(heard, proof)
    await telling.tell("One.", [quote(0)])
    proof.may_be_read = False
    await telling.tell("One. Two.", [quote(1)])
    proof.may_be_read = True
    await telling.tell("One. Two. Three.", [quote(2)])
    assert (heard.words, heard.places) == (["One."], [0])
