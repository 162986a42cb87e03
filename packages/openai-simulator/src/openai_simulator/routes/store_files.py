"""The endpoints of the files and file batches of a vector store."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from openai_simulator.attachments import admit, attach
from openai_simulator.errors import not_found
from openai_simulator.faults import FaultKind
from openai_simulator.file_text import UnreadableFileError
from openai_simulator.objects import FileBatch, FileStatus, make_id, render_batch, timestamp
from openai_simulator.paging import PageDep
from openai_simulator.routes.deps import FaultDep, ObjectId, SimulatorDep
from openai_simulator.simulator import Simulator
from openai_simulator.store_requests import AttachedFile, CreateFileBatch, UpdateAttributes

router = APIRouter(prefix="/vector_stores/{store_id}")
StatusFilter = Annotated[FileStatus | None, Query(alias="filter")]


@router.post("/files", name="vector_stores.files.create")
async def attach_file(
    simulator: SimulatorDep, fault: FaultDep, store_id: ObjectId, asked: AttachedFile
) -> dict[str, Any]:
    store = simulator.usable_store(store_id)
    admit(simulator, store, 1)
    (attached,) = attach(simulator, store, [asked], fault=fault)
    return attached.render()


@router.get("/files", name="vector_stores.files.list")
async def list_attached(
    simulator: SimulatorDep, store_id: ObjectId, page: PageDep, status: StatusFilter = None
) -> dict[str, Any]:
    files = simulator.state.files_of(simulator.store(store_id).id)
    return page.of([file.render() for file in files if status in {None, file.status}])


@router.get("/files/{file_id}", name="vector_stores.files.retrieve")
async def retrieve_attached(simulator: SimulatorDep, store_id: ObjectId, file_id: ObjectId) -> dict[str, Any]:
    return simulator.attached(store_id, file_id).render()


@router.post("/files/{file_id}", name="vector_stores.files.update")
async def update_attached(
    simulator: SimulatorDep, store_id: ObjectId, file_id: ObjectId, asked: UpdateAttributes
) -> dict[str, Any]:
    attached = simulator.attached(simulator.usable_store(store_id).id, file_id)
    attached.attributes = asked.attributes or {}
    simulator.state.store_files.save(attached.key, attached)
    return attached.render()


@router.delete("/files/{file_id}", name="vector_stores.files.delete")
async def detach_file(simulator: SimulatorDep, store_id: ObjectId, file_id: ObjectId) -> dict[str, Any]:
    """Detach a file from a store. The file itself is kept."""
    simulator.state.store_files.remove(simulator.attached(store_id, file_id).key)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/files/{file_id}/content", name="vector_stores.files.content")
async def attached_content(simulator: SimulatorDep, store_id: ObjectId, file_id: ObjectId) -> dict[str, Any]:
    """Return the text of a file. The data is empty unless its indexing is completed."""
    attached = simulator.attached(store_id, file_id)
    file = simulator.file(file_id)
    content = []
    if attached.status == "completed":
        try:
            content = [{"type": "text", "text": await simulator.text(file)}]
        except UnreadableFileError:
            content = []
    return {
        "object": "vector_store.file_content.page",
        "file_id": file.id,
        "filename": file.filename,
        "attributes": attached.attributes,
        "data": content,
        "has_more": False,
        "next_page": None,
    }


@router.post("/file_batches", name="vector_stores.file_batches.create")
async def create_batch(
    simulator: SimulatorDep, fault: FaultDep, store_id: ObjectId, asked: CreateFileBatch
) -> dict[str, Any]:
    store = simulator.usable_store(store_id)
    files = asked.attached()
    admit(simulator, store, len(files))
    batch = FileBatch(id=make_id("vsfb_"), vector_store_id=store.id, created_at=timestamp())
    attached = attach(simulator, store, files, batch_id=batch.id, fault=fault)
    simulator.state.file_batches.add(batch.id, batch)
    return render_batch(batch, attached)


@router.get("/file_batches/{batch_id}", name="vector_stores.file_batches.retrieve")
async def retrieve_batch(
    simulator: SimulatorDep, fault: FaultDep, store_id: ObjectId, batch_id: ObjectId
) -> dict[str, Any]:
    batch = _batch(simulator, store_id, batch_id)
    shown = render_batch(batch, simulator.state.files_in(batch.id))
    if fault is not None and fault.kind is FaultKind.STORE_ID:
        shown["id"] = store_id
    return shown


@router.post("/file_batches/{batch_id}/cancel", name="vector_stores.file_batches.cancel")
async def cancel_batch(simulator: SimulatorDep, store_id: ObjectId, batch_id: ObjectId) -> dict[str, Any]:
    """Cancel a batch. Files that are completed or failed keep their status."""
    batch = _batch(simulator, store_id, batch_id)
    files = simulator.state.files_in(batch.id)
    waiting = [file for file in files if file.status == "in_progress"]
    for file in waiting:
        file.status = "cancelled"
        simulator.state.store_files.save(file.key, file)
    if waiting:
        batch.is_cancelled = True
        simulator.state.file_batches.save(batch.id, batch)
    return render_batch(batch, files)


@router.get("/file_batches/{batch_id}/files", name="vector_stores.file_batches.list_files")
async def list_batch(
    simulator: SimulatorDep, store_id: ObjectId, batch_id: ObjectId, page: PageDep, status: StatusFilter = None
) -> dict[str, Any]:
    batch = _batch(simulator, store_id, batch_id)
    files = simulator.state.files_in(batch.id)
    return page.of([file.render() for file in files if status in {None, file.status}])


def _batch(simulator: Simulator, store_id: str, batch_id: str) -> FileBatch:
    batch = simulator.state.file_batches.get(batch_id)
    if batch is None or batch.vector_store_id != simulator.store(store_id).id:
        raise not_found("file batch", batch_id, "batch_id")
    return batch
