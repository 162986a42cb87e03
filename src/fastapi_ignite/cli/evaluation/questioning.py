"""Asks the questions of a data set over the HTTP API, one after the other, and observes what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi_ignite.cli.api_client import ApiClient, RequestRefusedError
from fastapi_ignite.cli.evaluation.datasets import Question
from fastapi_ignite.cli.evaluation.judging import (
    Answered,
    Observation,
    Passage,
    judge_answer,
    judge_places,
    ranked_documents,
)
from fastapi_ignite.cli.evaluation.measures import ranking_measures

DEPTH = 100
# After this number of failures in a row the cause is not the question.
MOST_FAILURES = 5


@dataclass(slots=True)
class Observed:
    """What was seen, by question. `failed` has the questions that the server did not answer, with its code."""

    by_question: dict[str, Observation] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    engine: str | None = None


class Questioner:
    """Asks one project. `ids` has the documents by the name of their file.

    `delete_conversations` is for a project that is not the evaluation's own: nothing of the questions stays there.
    """

    def __init__(
        self, client: ApiClient, project_id: str, ids: Mapping[str, str], *, asks: bool, delete_conversations: bool
    ) -> None:
        self._client = client
        self._project_id = project_id
        self._ids = ids
        self._asks = asks
        self._delete_conversations = delete_conversations
        self._texts: dict[tuple[str, int, int], str] = {}

    def run(self, questions: Sequence[Question], advance: Callable[[], None]) -> Observed:
        """Ask every question.

        Raises:
            RequestRefusedError: the server refused several in a row.
        """
        observed = Observed()
        self._search(questions[0].text, limit=1)  # loads the model, which only the first search of a process waits for
        in_a_row = 0
        for question in questions:
            try:
                observed.by_question[question.id] = self._observe(question, observed)
                in_a_row = 0
            except RequestRefusedError as error:
                in_a_row += 1
                if in_a_row == MOST_FAILURES:
                    raise
                observed.failed[question.id] = error.problem.code or str(error.problem.status)
            advance()
        if all(question.answerable is not False for question in questions):
            for observation in observed.by_question.values():  # no refusal can be right
                observation.measures.pop("refusal precision", None)
        rankings = {name: observation.ranking for name, observation in observed.by_question.items()}
        judged = {question.id: question.relevant for question in questions if question.id in rankings}
        for name, measures in ranking_measures(judged, rankings).items():
            observed.by_question[name].measures |= measures
        return observed

    def _observe(self, question: Question, observed: Observed) -> Observation:
        # as users search: this one is timed, and the deep one below it finds the question's vector kept
        began = time.perf_counter()
        found = self._search(question.text)
        search_ms = (time.perf_counter() - began) * 1000
        observed.engine = found["engine"]
        passages = [self._passage(result, result["text"]) for result in found["results"]]
        deep = self._search(question.text, limit=DEPTH, per_file=1)
        observation = Observation(ranked_documents(deep["results"], self._ids), passages, search_ms)
        observation.measures |= judge_places(question, observation)
        if self._asks and question.is_asked:
            began = time.perf_counter()
            answer = self._client.post("/query/ask", body={"project_id": self._project_id, "question": question.text})
            observation.ask_ms = (time.perf_counter() - began) * 1000
            observation.answered = self._answered(answer)
            observation.measures |= judge_answer(question, observation.answered)
            if self._delete_conversations:
                self._client.send("DELETE", f"/query/conversations/{answer['conversation_id']}")
        return observation

    def _search(self, query: str, **wanted: int) -> dict[str, Any]:
        return self._client.post("/query/search", body={"project_id": self._project_id, "query": query, **wanted})

    def _answered(self, answer: Mapping[str, Any]) -> Answered:
        citations = answer["citations"]
        return Answered(
            answer["answer"],
            refused=not answer["answerable"],
            citations=[self._passage(citation, citation["quote"]) for citation in citations],
            verbatim=[self._stored_text(citation) == citation["quote"] for citation in citations],
        )

    def _passage(self, source: Mapping[str, Any], text: str) -> Passage:
        return Passage(self._ids.get(source["filename"]), source["page"], text)

    def _stored_text(self, citation: Mapping[str, Any]) -> str:
        """Return what stands at the citation's offsets, read by itself: the answer's own word for it is not enough."""
        file_id, start, end = citation["file_id"], citation["char_start"], citation["char_end"]
        place = (file_id, start, end)
        if place not in self._texts:
            path = f"/ingestion/projects/{self._project_id}/files/{file_id}/text"
            self._texts[place] = self._client.get(path, start=start, end=end)["text"]
        return self._texts[place]
