"""Tests of docs/api.md and the README: all of their requests run in order against a real stack."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pytest import Subtests  # noqa: PT013  a type

from support.both_engines import ENGINES
from support.command_line import open_folder
from support.doc_pages import Example, blocks, differences, page, reference, run_blocks
from support.http_contract import Operation, operations
from support.running_stack import RunningStack

from openai_simulator.server import RunningSimulator

pytestmark = pytest.mark.slow

README_BLOCK = re.compile(r"^## First requests\n\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = re.compile(r'"\$API_V(\d+)([^"?]*)')


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Return the engine of the projects that the pages create."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def stack(engine_name: str, simulator: RunningSimulator) -> Iterator[RunningStack]:
    """Start a stack with `cli.py up`, with an OpenAI key if the engine needs one."""
    keys = {"local": {}, "openai": {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": simulator.base_url}}
    with open_folder() as made:
        running = RunningStack(made, **keys[engine_name])
        try:
            yield running.wait_until_healthy()
        finally:
            running.end()


def address(stack: RunningStack) -> str:
    return f"http://127.0.0.1:{stack.port}"


def test_every_request_of_the_reference_is_answered_as_it_says(
    stack: RunningStack, tmp_path: Path, subtests: Subtests
) -> None:
    shell, examples = reference()
    ran = run_blocks(shell, address=address(stack), folder=tmp_path, environment=stack.commands.environment)
    assert examples
    for example in examples:
        with subtests.test(str(example)):
            answer = ran[example.block]
            assert answer.statuses == [example.status]
            if example.status == 204:
                assert answer.output.splitlines()[0].strip() == example.body.strip()
            elif example.body:
                (document,) = answer.documents()
                assert list(differences(json.loads(example.body), document)) == []
    with subtests.test("the streamed answer"):
        streamed = events_of(next(run.output for block, run in zip(shell, ran, strict=True) if "stream" in block))
        shown = events_of(next(block for block in blocks(page("docs/api.md"), "text") if "event: meta" in block))
        assert [kind for kind, _ in streamed] == [kind for kind, _ in shown]
        for (_, documented), (_, told) in zip(shown, streamed, strict=True):
            assert list(differences(documented, told)) == []


def events_of(text: str) -> list[tuple[str, Any]]:
    """Return the kind and the data of each event. Of events of one kind in a row, return only the first."""
    found = [(kind, json.loads(data)) for kind, data in re.findall(r"^event: (.*)\ndata: (.*)$", text, re.MULTILINE)]
    return [event for number, event in enumerate(found) if number == 0 or event[0] != found[number - 1][0]]


def test_the_first_requests_of_the_readme_end_in_a_cited_answer(
    stack: RunningStack, engine_name: str, tmp_path: Path
) -> None:
    found = README_BLOCK.search(page("README.md"))
    assert found
    (ran,) = run_blocks([found[1]], address=address(stack), folder=tmp_path, environment=stack.commands.environment)
    assert ran.statuses == [200] * 5
    documented = {str(example): example.body for example in reference()[1]}
    shown = (
        "POST /api/v1/ingestion/projects/{project_id}/upload_and_attach",
        "POST /api/v1/query/ask",
        "GET /api/v1/limits/current",
    )
    answers = ran.documents()
    for name, answer in zip(shown, answers, strict=True):
        assert list(differences(json.loads(documented[name]), answer)) == []
    assert answers[1]["engine"] == engine_name
    assert "seven days" in answers[1]["citations"][0]["quote"]


def test_the_reference_has_every_operation_once_and_no_other() -> None:
    documented = Counter(str(example) for example in reference()[1])
    assert documented == Counter(f"{each.method} {each.whole_path}" for each in operations())


@cache
def by_name() -> dict[str, Operation]:
    return {f"{each.method} {each.whole_path}": each for each in operations()}


@pytest.mark.parametrize("example", reference()[1], ids=str)
class TestEach:
    def test_the_request_shown_is_one_of_the_operation(self, example: Example) -> None:
        request = reference()[0][example.block]
        method = re.search(r"curl .*?-X ([A-Z]+)", request)
        assert (method[1] if method else "GET") == example.method
        path = URL.search(request)
        assert path
        template = re.sub(r"\{\w+\}", r"\\$[A-Z_]+", example.path)
        assert re.fullmatch(template, f"/api/v{path[1]}{path[2]}")

    def test_the_errors_are_those_of_the_openapi_document(self, example: Example) -> None:
        answers = by_name()[str(example)].definition["responses"]
        declared = {
            (int(status), code)
            for status, answer in answers.items()
            if "application/problem+json" in answer.get("content", {})
            for code in re.findall(r"`([a-z_]+)`", answer["description"])
        }
        assert example.errors == declared

    def test_the_answer_is_the_openapi_document_s_example(self, example: Example) -> None:
        answers: dict[str, Any] = by_name()[str(example)].definition["responses"]
        assert str(example.status) in answers
        content = answers[str(example.status)].get("content", {}).get("application/json")
        if content is None:
            assert not example.body.startswith("{")
            return
        shown = [each["value"] for each in content["examples"].values()]
        assert [] in [list(differences(json.loads(example.body), value)) for value in shown]


def test_bash_blocks_are_all_that_needs_running() -> None:
    assert len(blocks(page("docs/api.md"), "bash")) == len(reference()[0])
