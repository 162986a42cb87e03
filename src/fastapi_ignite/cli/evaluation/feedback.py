"""Turns the feedback on a project's answers into questions that can be asked again.

An answer that was rated up was right: its citations are the evidence, and a refusal that was rated up must be a refusal
again. An answer that was rated down says only that it should not be given again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.evaluation.datasets import DatasetError, Evidence, Question


def rated_questions(client: ApiClient, project_id: str) -> list[Question]:
    """Return the questions whose answers were rated, oldest first. Of several ratings of one question the last counts.

    Raises:
        DatasetError: no answer was rated, or all cited files were removed since.
    """
    files = {file["id"] for file in client.pages(f"/ingestion/projects/{project_id}/files", "files")}
    rated: dict[str, Question] = {}
    for question, answer in _rated_answers(client, project_id):
        known = _question(question, answer, files)
        if known is not None:
            rated[known.text] = known
    if not rated:
        raise DatasetError("No answer of this project has feedback that can be asked again.")
    return list(rated.values())


def _rated_answers(client: ApiClient, project_id: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    conversations = list(client.pages("/query/conversations", "conversations", project_id=project_id))
    for conversation in reversed(conversations):
        asked: dict[str, Mapping[str, Any]] = {}
        for message in client.pages(f"/query/conversations/{conversation['id']}/messages", "messages"):
            if message["role"] == "user":
                asked[message["id"]] = message
            elif message["feedback"] is not None and message["reply_to"] in asked:
                yield asked[message["reply_to"]], message


def _question(question: Mapping[str, Any], answer: Mapping[str, Any], files: set[str]) -> Question | None:
    name, text = str(answer["id"]), str(question["content"])
    if answer["feedback"]["rating"] == "down":
        return Question(name, text, rejected=[answer["content"]])
    if not answer["answerable"]:
        return Question(name, text, answerable=False)
    evidence = [
        Evidence(citation["filename"], citation["page"], citation["quote"])
        for citation in answer["citations"]
        if citation["file_id"] in files
    ]
    if not evidence:
        return None
    return Question(name, text, {proof.document_id: 1 for proof in evidence}, evidence=evidence, answerable=True)
