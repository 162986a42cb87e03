"""Which part of a growing answer may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from fastapi_ignite.rag.answers.passage import Quote, cite
from fastapi_ignite.rag.answers.verified_stream import VerifiedStream
from fastapi_ignite.rag.engine import Cited, Text


def quote(start: int) -> Quote:
    return Quote(uuid4(), "words", start, start + 5, None, 1.0)


class Proof:
    """A verifier that accepts quotes that begin before character 100."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.may_be_read = True

    async def __call__(self, quotes: Sequence[Quote]) -> tuple[list[Quote], bool]:
        self.asked += [quote.char_start for quote in quotes]
        return [quote for quote in quotes if quote.char_start < 100], self.may_be_read


async def test_no_text_leaves_before_a_quote_is_true_and_all_does_then() -> None:
    proof = Proof()
    stream = VerifiedStream(proof)
    false, true = quote(100), quote(0)
    assert await stream.advance("One.", [false]) == []
    assert await stream.advance("One. Two.", [false, true]) == [*map(Cited, cite([true])), Text("One. Two.")]
    assert await stream.advance("One. Two. Three.", [false, true]) == [Text(" Three.")]
    assert proof.asked == [100, 0], "each once"


async def test_what_is_not_new_is_not_looked_up() -> None:
    proof = Proof()
    stream = VerifiedStream(proof)
    events = [await stream.advance("One.", [quote(0)]) for _ in range(2)]
    assert [len(each) for each in events] == [2, 0]
    assert len(proof.asked) == 1


async def test_after_a_removal_nothing_leaves() -> None:
    proof = Proof()
    stream = VerifiedStream(proof)
    assert await stream.advance("One.", [quote(0)])
    proof.may_be_read = False
    assert await stream.advance("One. Two.", [quote(1)]) == []
    proof.may_be_read = True
    assert await stream.advance("One. Two. Three.", [quote(2)]) == []
