"""Attaches files to a store, one by one or as a batch."""

from __future__ import annotations

from collections.abc import Sequence

from openai_simulator.errors import invalid
from openai_simulator.faults import Fault, FaultKind
from openai_simulator.objects import Failure, StaticChunking, StoreFile, VectorStore, timestamp
from openai_simulator.simulator import Simulator
from openai_simulator.store_requests import AttachedFile


def admit(simulator: Simulator, store: VectorStore, count: int) -> None:
    """Check the limits of a call that attaches `count` files.

    Raises:
        ApiError: a rate limit is reached, or the store would hold too many files.
    """
    behaviour = simulator.behaviour
    simulator.windows.admit(f"attach {store.id}", behaviour.attach_per_minute)
    simulator.windows.admit("attached files", behaviour.attached_files_per_minute, count)
    if len(simulator.state.files_of(store.id)) + count > behaviour.max_store_files:
        raise invalid(f"A vector store takes {behaviour.max_store_files} files.", "file_ids", "too_many_files")


def attach(
    simulator: Simulator,
    store: VectorStore,
    files: Sequence[AttachedFile],
    *,
    batch_id: str | None = None,
    fault: Fault | None = None,
) -> list[StoreFile]:
    """Attach all files, or none if an id is unknown. A file that is attached already is indexed anew."""
    for each in files:
        simulator.file(each.file_id, "file_id")
    return [_attach(simulator, store, each, batch_id, fault) for each in files]


def _attach(
    simulator: Simulator, store: VectorStore, asked: AttachedFile, batch_id: str | None, fault: Fault | None
) -> StoreFile:
    kind = fault.kind if fault else None
    made = StoreFile(
        file_id=asked.file_id,
        vector_store_id=store.id,
        batch_id=batch_id,
        created_at=timestamp(),
        attributes=asked.attributes or {},
        chunking=asked.chunking_strategy.sizes() if asked.chunking_strategy else StaticChunking(),
        is_stuck=kind is FaultKind.STUCK,
    )
    simulator.state.store_files.remove(made.key)
    simulator.state.store_files.add(made.key, made)
    if fault is not None and kind is FaultKind.FILE_FAILED:
        simulator.fail_file(made, _failure(fault))
    elif kind is not FaultKind.STUCK:
        simulator.process(made)
    return made


def _failure(fault: Fault) -> Failure:
    code = fault.code if fault.code in {"unsupported_file", "invalid_file"} else "server_error"
    return Failure.model_validate({"code": code, "message": fault.message or "An internal error occurred."})
