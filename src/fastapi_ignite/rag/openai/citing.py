"""What a response says and cites, and the sentences of our own documents that bear it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from openai.types.responses import (
    Response,
    ResponseFileSearchToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
)
from openai.types.responses.response_output_text import AnnotationFileCitation

from fastapi_ignite.rag.local.analysis import analyze
from fastapi_ignite.rag.local.answering import Passage, Quote
from fastapi_ignite.rag.local.sentences import LONGEST, split_sentences

QUOTES = 5
LONGEST_EXCERPT = 20_000
# The share of a statement's terms that a sentence of the cited file must hold to stand as its proof.
CITED = 0.3
# Where the model names no file the words alone must tell.
UNCITED = 0.6
_MARKER = re.compile(r"\u3010[^\u3010\u3011]{0,200}\u3011")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What file search gave the model to read."""

    file_id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Statement:
    """A stretch of the answer; `file_id` is what the model cited for it, if anything."""

    text: str
    file_id: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A response, taken apart."""

    text: str
    refused: bool
    statements: tuple[Statement, ...]
    excerpts: tuple[Excerpt, ...]


def read(response: Response) -> Reading:
    """The answer without the marks some models leave in it; what they cite, by statement."""
    parts: list[str] = []
    statements: list[Statement] = []
    refused = False
    for item in response.output:
        for content in item.content if isinstance(item, ResponseOutputMessage) else ():
            if isinstance(content, ResponseOutputRefusal):
                refused = True
                parts.append(content.refusal)
            else:
                parts.append(content.text)
                statements += _statements(content)
    return Reading(
        text=_MARKER.sub("", "\n\n".join(parts)).replace("\x00", "").strip(),
        refused=refused,
        statements=tuple(statements),
        excerpts=tuple(_excerpts(response)),
    )


def _statements(content: ResponseOutputText) -> Iterator[Statement]:
    """An annotation's `index` is where the cited words end; one that is nowhere stands for all of the answer."""
    cited = [note for note in content.annotations if isinstance(note, AnnotationFileCitation)]
    if not cited:
        for sentence in split_sentences(content.text):
            yield Statement(content.text[sentence.start : sentence.end], None)
        return
    for note in cited:
        before = content.text[: note.index] if 0 < note.index <= len(content.text) else content.text
        sentences = split_sentences(before)
        yield Statement(before[sentences[-1].start : sentences[-1].end] if sentences else before, note.file_id)


def _excerpts(response: Response) -> Iterator[Excerpt]:
    for item in response.output:
        for result in (item.results or ()) if isinstance(item, ResponseFileSearchToolCall) else ():
            words = (result.text or "").replace("\x00", "").strip()[:LONGEST_EXCERPT]
            if result.file_id and words:
                yield Excerpt(result.file_id, words, min(max(result.score or 0.0, 0.0), 1.0))


def in_sentences(excerpts: Sequence[Excerpt]) -> list[Excerpt]:
    """For excerpts that the provider joined or spaced in its own way: their sentences may still be found."""
    return [
        Excerpt(excerpt.file_id, excerpt.text[sentence.start : sentence.end], excerpt.score)
        for excerpt in excerpts
        for sentence in split_sentences(excerpt.text)
    ]


def quotes(reading: Reading, passages: Sequence[tuple[str, Passage]]) -> list[Quote]:
    """For each statement the sentence of its sources that says most of it; else of the source it names, if any."""
    sentences = [
        (file_id, frozenset(analyze(quote.text)), quote)
        for file_id, passage in passages
        for quote in _sentences_of(passage)
    ]
    chosen: list[Quote] = []
    for statement in reading.statements:
        best = _aligned(statement, sentences) or _retrieved(statement, passages)
        if best and not any(_same_place(best, other) for other in chosen):
            chosen.append(best)
    return chosen[:QUOTES]


def _aligned(statement: Statement, sentences: Sequence[tuple[str, frozenset[str], Quote]]) -> Quote | None:
    terms = frozenset(analyze(statement.text))
    best, share = None, CITED if statement.file_id else UNCITED
    for file_id, words, quote in sentences:
        if statement.file_id not in {None, file_id} or not terms:
            continue
        covered = len(terms & words) / len(terms)
        if covered > share or (best is None and covered == share):
            best, share = quote, covered
    return best


def _retrieved(statement: Statement, passages: Sequence[tuple[str, Passage]]) -> Quote | None:
    """Of the file that the model names, though it says it in other words or another language: the best passage.

    Of that the sentence with most of the same words, names and figures; where there are none, its first ones.
    """
    of_file = [passage for file_id, passage in passages if file_id == statement.file_id]
    if not of_file:
        return None
    terms = frozenset(analyze(statement.text))
    passage = max(of_file, key=lambda each: (len(terms & frozenset(analyze(each.text))), each.score))
    sentences = list(_sentences_of(passage))
    if not sentences:
        return None
    shared = [len(terms & frozenset(analyze(sentence.text))) for sentence in sentences]
    first = shared.index(max(shared))
    last = first
    while not any(shared) and last + 1 < len(sentences):
        if sentences[last + 1].char_end - sentences[first].char_start > LONGEST:
            break
        last += 1
    start, end = sentences[first].char_start, sentences[last].char_end
    text = passage.window[start - passage.window_start : end - passage.window_start]
    return replace(sentences[first], text=text, char_end=end, support="retrieved")


def _same_place(one: Quote, other: Quote) -> bool:
    return (one.document_id, one.char_start) == (other.document_id, other.char_start)


def _sentences_of(passage: Passage) -> Iterator[Quote]:
    for sentence in split_sentences(passage.window):
        start, end = passage.window_start + sentence.start, passage.window_start + sentence.end
        if start < passage.char_end and end > passage.char_start:
            yield Quote(
                document_id=passage.document_id,
                text=passage.window[sentence.start : sentence.end],
                char_start=start,
                char_end=end,
                page_starts=passage.page_starts,
                score=passage.score,
                support="aligned",
            )
