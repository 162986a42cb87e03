"""A removed file that is still at the provider, because no worker has deleted it there yet."""

from __future__ import annotations

import httpx2
import pytest

from fastapi_ignite.rag.openai import repository
from rag.openai.hosted_tenant import HostedTenant

from openai_simulator.server import RunningSimulator

REMOVED = "The orchard keeps nine apple trees."
KEPT = "By our record, the orchard keeps nine apple trees and a pear."
QUESTION = "How many apple trees does the orchard keep?"


async def ask_after_a_removal(hosted: HostedTenant, provider: RunningSimulator) -> httpx2.Response:
    """Ask a question that two files answer, after one of them was removed everywhere but at the provider."""
    project = await hosted.api.create_project()
    removed, _ = await hosted.ingest(project, ("orchard.txt", REMOVED.encode()), ("record.txt", KEPT.encode()))
    params = {"openai_file_id": str(removed)}
    await hosted.api.delete(f"/ingestion/projects/{project}/remove_file", params=params)
    assert provider.simulator.state.existing()["vector_store_files"] == 2
    return await hosted.api.ask(project, QUESTION)


def require_the_kept_file_alone(answer: httpx2.Response) -> None:
    body = answer.json()
    assert body["answer"] == KEPT
    assert [cited["filename"] for cited in body["citations"]] == ["record.txt"]


async def test_it_is_not_searched(hosted: HostedTenant, provider: RunningSimulator) -> None:
    """The model reads as many tokens as in a project that has only the other file."""
    answer = await ask_after_a_removal(hosted, provider)
    require_the_kept_file_alone(answer)
    other = await hosted.api.create_project("Other")
    await hosted.ingest(other, ("record.txt", KEPT.encode()))
    assert answer.json()["tokens_in"] == (await hosted.api.ask(other, QUESTION)).json()["tokens_in"]


async def test_what_search_found_of_it_all_the_same_never_leaves(
    hosted: HostedTenant, provider: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is removed while the model reads it."""
    monkeypatch.setattr(repository, "MOST_WITHDRAWN", 0)
    require_the_kept_file_alone(await ask_after_a_removal(hosted, provider))
