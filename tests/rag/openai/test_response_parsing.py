"""Tests of reading responses, streamed and complete ones."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from fastapi_ignite.rag.llm.streamed_answer import StreamedAnswer
from fastapi_ignite.rag.openai.response_parsing import read, read_beginning

WORDS = st.sampled_from(
    [
        *("The orchard", " keeps nine", " trees. ", "\n", " ", "\x00", "\ud83d", "\ude00", "\U0001f600", "x" * 210),
        *("\u3010", "\u3011", "\u30104:0\u2020trees.txt\u3011", "\u30104:0", "\u2020trees.txt\u3011"),
    ]
)
PART = st.lists(st.tuples(WORDS, st.sampled_from([None, None, "file-1", "file-2"])), max_size=8)


def response(parts: list[dict[str, Any]]) -> Response:
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": parts}
    return Response.construct(id="r", object="response", status="completed", output=[message])


@given(st.lists(PART, max_size=3), st.integers(0, 60))
def test_what_is_told_while_it_comes_is_how_it_begins(spoken: list[list[tuple[str, str | None]]], seen: int) -> None:
    events: list[dict[str, Any]] = []
    parts = []
    for number, part in enumerate(spoken):
        place = {"output_index": 1, "content_index": number}
        text = ""
        notes: list[dict[str, Any]] = []
        for words, file_id in part:
            text += words
            events.append({"type": "response.output_text.delta", **place, "delta": words})
            if file_id:
                notes.append({"type": "file_citation", "file_id": file_id, "index": len(text), "filename": "f"})
                events.append(
                    {"type": "response.output_text.annotation.added", **place, "annotation": notes[-1]},
                )
        parts.append({"type": "output_text", "text": text, "annotations": notes})
    answer = StreamedAnswer("", max_output_tokens=1000)
    for event in events[:seen]:
        answer.add_event(event)
    beginning = read_beginning(answer.parts, {"file-1"})
    whole = read(response(parts))
    assert whole.text.startswith(beginning.text)
    assert set(beginning.statements) <= set(whole.statements)
    assert {statement.source for statement in beginning.statements} <= {"file-1"}
    assert not beginning.text or beginning.statements


def test_a_response_that_refuses_says_its_refusal_alone() -> None:
    reading = read(
        response(
            [
                {"type": "output_text", "text": "The launch code is 4711.", "annotations": []},
                {"type": "refusal", "refusal": "I cannot say more."},
            ]
        )
    )
    assert (reading.text, reading.refused, reading.statements) == ("I cannot say more.", True, ())


def test_what_other_servers_leave_out_is_no_failure() -> None:
    assert read(Response.construct(id="r", status="completed", output=None)).text == ""
    note = {"type": "file_citation", "file_id": "file-1", "index": None, "filename": "f"}
    reading = read(response([{"type": "output_text", "text": "The orchard keeps nine trees.", "annotations": [note]}]))
    assert [statement.source for statement in reading.statements] == ["file-1"]
