"""A project whose vector store the provider may lose."""

from __future__ import annotations

from uuid import UUID

from rag.openai.hosted_tenant import HostedTenant

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

TREES, SHEEP = "The orchard keeps nine apple trees.", "The meadow feeds forty sheep in summer."
QUESTIONS = {"How many apple trees does the orchard keep?": TREES, "How many sheep does the meadow feed?": SHEEP}


class SampleProject:
    """A project with two documents."""

    def __init__(self, hosted: HostedTenant, provider: RunningSimulator, project: str, files: list[UUID]) -> None:
        self.hosted = hosted
        self.provider = provider
        self.project = project
        self.files = files

    async def store(self) -> str:
        """Return the id of its vector store, as the API tells it."""
        listed = await self.hosted.api.get(f"/ingestion/projects/{self.project}/files")
        return str(listed.json()["vector_store_id"])

    async def state(self) -> str:
        """Return the state of the vector store's row."""
        rows = await self.hosted.rows("SELECT state FROM provider_stores WHERE project_id = :id", id=self.project)
        return str(rows[0]["state"])

    async def lose(self, how: str) -> None:
        """Remove the vector store at the provider, or let it expire there, without any call of the API."""
        state, store_id = self.provider.simulator.state, await self.store()
        if how == "vanish":
            state.remove_store(store_id)
        else:
            store = self.provider.simulator.store(store_id)
            store.was_expired = True
            state.vector_stores.save(store.id, store)

    async def find_out_the_loss(self) -> None:
        """Ask a question, which finds out that the vector store is missing."""
        refused = await self.hosted.api.ask(self.project, TREES)
        assert (refused.status_code, refused.json()["code"]) == (409, "store_missing"), refused.text
        assert int(refused.headers["retry-after"]) > 0

    async def check_answers_from(self, *sentences: str) -> None:
        """Check that the project answers from exactly these documents, and that the provider has each of them once."""
        for question, fact in QUESTIONS.items():
            answer = await self.hosted.api.ask(self.project, question)
            assert answer.status_code == 200, answer.text
            assert ([cited["quote"] for cited in answer.json()["citations"]] == [fact]) == (fact in sentences)
        existing = self.provider.simulator.state.existing()
        assert (existing["files"], len(self.attached(await self.store()))) == (len(sentences),) * 2

    def attached(self, store_id: str) -> list[str]:
        """Return the names of the files in a vector store."""
        state = self.provider.simulator.state
        found = [state.files.get(attached.file_id) for attached in state.files_of(store_id)]
        return [file.filename for file in found if file]

    def created_counts(self) -> tuple[int, int]:
        """Return how many vector stores and files were ever created."""
        created = self.provider.simulator.state.created()
        return created["vector_stores"], created["files"]

    def fail(self, route: str, kind: str, **fault: object) -> None:
        self.provider.simulator.faults.add(Fault.model_validate({"route": route, "kind": kind, **fault}))
