"""The endpoints of vector stores."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from openai_simulator.attachments import admit, attach
from openai_simulator.objects import VectorStore, make_id, render_store, timestamp
from openai_simulator.paging import PageDep
from openai_simulator.retrieval import search
from openai_simulator.routes.deps import FaultDep, ObjectId, SimulatorDep
from openai_simulator.simulator import Simulator
from openai_simulator.store_requests import AttachedFile, CreateVectorStore, SearchVectorStore, UpdateVectorStore

router = APIRouter()


@router.post("/vector_stores", name="vector_stores.create")
async def create_store(simulator: SimulatorDep, fault: FaultDep, asked: CreateVectorStore) -> dict[str, Any]:
    for file_id in asked.file_ids or ():
        simulator.file(file_id, "file_ids")
    created = timestamp()
    made = VectorStore(
        id=make_id("vs_"),
        name=asked.name or "",
        description=asked.description,
        metadata=asked.metadata or {},
        created_at=created,
        last_active_at=created,
        expires_after=asked.expires_after,
    )
    if asked.file_ids:
        admit(simulator, made, len(asked.file_ids))
    simulator.state.vector_stores.add(made.id, made)
    files = [AttachedFile(file_id=each, chunking_strategy=asked.chunking_strategy) for each in asked.file_ids or ()]
    attach(simulator, made, files, fault=fault)
    return _shown(simulator, made)


@router.get("/vector_stores", name="vector_stores.list")
async def list_stores(simulator: SimulatorDep, page: PageDep) -> dict[str, Any]:
    return page.of([_shown(simulator, store) for store in simulator.state.vector_stores])


@router.get("/vector_stores/{store_id}", name="vector_stores.retrieve")
async def retrieve_store(simulator: SimulatorDep, store_id: ObjectId) -> dict[str, Any]:
    return _shown(simulator, simulator.store(store_id))


@router.post("/vector_stores/{store_id}", name="vector_stores.update")
async def update_store(simulator: SimulatorDep, store_id: ObjectId, asked: UpdateVectorStore) -> dict[str, Any]:
    store = simulator.usable_store(store_id)
    if "name" in asked.model_fields_set:
        store.name = asked.name or ""
    if "metadata" in asked.model_fields_set:
        store.metadata = asked.metadata or {}
    if "expires_after" in asked.model_fields_set:
        store.expires_after = asked.expires_after
    simulator.state.vector_stores.save(store.id, store)
    return _shown(simulator, store)


@router.delete("/vector_stores/{store_id}", name="vector_stores.delete")
async def delete_store(simulator: SimulatorDep, store_id: ObjectId) -> dict[str, Any]:
    """Delete a store but not its files."""
    simulator.state.remove_store(simulator.store(store_id).id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/vector_stores/{store_id}/search", name="vector_stores.search")
async def search_store(simulator: SimulatorDep, store_id: ObjectId, asked: SearchVectorStore) -> dict[str, Any]:
    store = simulator.usable_store(store_id)
    hits = search(
        await simulator.indexed([store.id]),
        asked.queries(),
        limit=asked.max_num_results,
        filters=asked.filters,
        threshold=asked.ranking_options.score_threshold,
    )
    return {
        "object": "vector_store.search_results.page",
        "search_query": asked.queries(),
        "data": [
            {
                "file_id": hit.file_id,
                "filename": hit.filename,
                "score": hit.score,
                "attributes": hit.attributes,
                "content": [{"type": "text", "text": hit.text}],
            }
            for hit in hits
        ],
        "has_more": False,
        "next_page": None,
    }


def _shown(simulator: Simulator, store: VectorStore) -> dict[str, Any]:
    return render_store(store, simulator.state.files_of(store.id))
