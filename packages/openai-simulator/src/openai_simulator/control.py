"""The control API under `/_sim`: settings, faults, counters, and changes that a provider makes by itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import ValidationError

from openai_simulator.behaviour import Behaviour
from openai_simulator.errors import invalid, not_found
from openai_simulator.faults import FailureRate, Fault
from openai_simulator.routes.deps import SimulatorDep

router = APIRouter()


@router.get("/")
async def describe(simulator: SimulatorDep) -> dict[str, Any]:
    return {
        "name": "openai-sim",
        "notice": "A simulator of OpenAI's service for development and tests. It has no model. Not for production.",
        "state_file": str(simulator.state.path) if simulator.state.path else None,
        "settings": simulator.behaviour,
    }


@router.get("/settings")
async def read_settings(simulator: SimulatorDep) -> Behaviour:
    return simulator.behaviour


@router.patch("/settings")
async def change_settings(simulator: SimulatorDep, changes: Annotated[dict[str, Any], Body()]) -> Behaviour:
    """Change the given settings and keep the others."""
    try:
        simulator.behaviour = Behaviour.model_validate(simulator.behaviour.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(first["msg"], ".".join(map(str, first["loc"])), "invalid_value") from None
    return simulator.behaviour


@router.get("/faults")
async def list_faults(simulator: SimulatorDep) -> dict[str, Any]:
    return {"pending": simulator.faults.pending, "rate": simulator.faults.rate}


@router.post("/faults", status_code=201)
async def add_fault(simulator: SimulatorDep, fault: Fault) -> Fault:
    simulator.faults.add(fault)
    return fault


@router.put("/failure-rate")
async def set_failure_rate(simulator: SimulatorDep, rate: FailureRate) -> FailureRate:
    simulator.faults.set_rate(rate)
    return rate


@router.delete("/faults", status_code=204)
async def clear_faults(simulator: SimulatorDep) -> None:
    simulator.faults.clear()


@router.get("/counters")
async def read_counters(simulator: SimulatorDep) -> dict[str, Any]:
    """Return all counters. `created` includes removed objects; `existing` does not."""
    objects = {"created": simulator.state.created(), "existing": simulator.state.existing()}
    return simulator.journal.counters() | objects


@router.get("/requests")
async def list_requests(
    simulator: SimulatorDep, route: Annotated[str | None, Query(max_length=64)] = None
) -> list[dict[str, Any]]:
    """Return the recorded requests, oldest first."""
    return [record for record in simulator.journal.records if route in {None, record["route"]}]


@router.post("/release")
async def release(simulator: SimulatorDep) -> dict[str, int]:
    return {"released": simulator.release()}


@router.post("/vector_stores/{store_id}/expire", status_code=204)
async def expire_store(simulator: SimulatorDep, store_id: str) -> None:
    store = simulator.store(store_id)
    store.was_expired = True
    simulator.state.vector_stores.save(store.id, store)


@router.post("/vector_stores/{store_id}/vanish", status_code=204)
async def vanish_store(simulator: SimulatorDep, store_id: str) -> None:
    """Remove a store as if it had never existed. It still counts as created."""
    if not simulator.state.remove_store(store_id):
        raise not_found("vector store", store_id)


@router.post("/files/{file_id}/vanish", status_code=204)
async def vanish_file(simulator: SimulatorDep, file_id: str) -> None:
    if not simulator.state.remove_file(file_id):
        raise not_found("file", file_id)


@router.post("/reset", status_code=204)
async def reset(simulator: SimulatorDep) -> None:
    simulator.reset()
