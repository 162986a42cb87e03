"""A simulated language model behind real HTTP that answers for the local engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fastapi_ignite.core.model_sections import AnswerSettings
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer
from support.rag_projects import RagProject

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

PUMP = (
    "The pump P-200 moves 40 litres of water a minute. Its warranty ends 24 months after delivery. "
    "Wear parts such as seals are not covered by the warranty. The pump must not run dry for more than ten seconds."
)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The OpenAI simulator, with shortcuts for the tests of generated answers."""

    running: RunningSimulator

    def fail(self, route: str, **fault: object) -> None:
        """Make the next call of this route fail."""
        self.running.simulator.faults.add(Fault.model_validate({"route": route, **fault}))

    def script(self, text: str) -> None:
        """Set the text with which the model answers the next call."""
        self.fail("*", kind="scripted", text=text)

    @property
    def calls(self) -> dict[str, int]:
        """Return how often each route was called."""
        return dict(self.running.simulator.journal.calls)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Return the bodies of all calls, the oldest first."""
        return [record["body"] for record in self.running.simulator.journal.records]

    def settings(self, **values: object) -> AnswerSettings:
        """Return the settings of an answerer that uses this server."""
        given = {"model": "gpt-4.1-mini", "base_url": self.running.base_url, "timeout_seconds": 5, **values}
        return AnswerSettings.model_validate(given)


def with_answerer(project: RagProject, answerer: GenerativeAnswerer) -> RagProject:
    """Return the same project with an engine that answers through this answerer."""
    return replace(project, engine=LocalEngine(project.database, embedder="none", answerer=answerer))
