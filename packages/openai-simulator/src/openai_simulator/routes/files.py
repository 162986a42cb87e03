"""The endpoints of uploaded files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Response, UploadFile

from openai_simulator.errors import ApiError, invalid
from openai_simulator.objects import StoredFile, make_id, timestamp
from openai_simulator.paging import Page
from openai_simulator.routes.deps import ObjectId, SimulatorDep

router = APIRouter()
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
LONGEST_LIST = 10_000


@router.post("/files", name="files.create")
async def create_file(
    simulator: SimulatorDep,
    file: Annotated[UploadFile, File()],
    purpose: Annotated[Purpose, Form()],
    anchor: Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")] = None,
    seconds: Annotated[int | None, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000)] = None,
) -> dict[str, Any]:
    simulator.windows.admit("files.create", simulator.behaviour.uploads_per_minute)
    if (anchor is None) != (seconds is None):
        raise invalid("'expires_after' takes 'anchor' and 'seconds'.", "expires_after", "missing_required_parameter")
    if (file.size or 0) > simulator.behaviour.max_file_bytes:
        limit = simulator.behaviour.max_file_bytes
        raise ApiError(413, f"Maximum content size limit ({limit}) exceeded ({file.size} bytes read).")
    data = await file.read()
    if not data:
        raise invalid("The file is empty.", "file", "empty_file")
    created = timestamp()
    made = StoredFile(
        id=make_id("file-"),
        filename=file.filename or "file",
        purpose=purpose,
        bytes=len(data),
        created_at=created,
        expires_at=created + seconds if seconds is not None else None,
    )
    simulator.state.put_content(made.id, data)
    return simulator.state.files.add(made.id, made).render()


@router.get("/files", name="files.list")
async def list_files(
    simulator: SimulatorDep,
    purpose: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_LIST)] = LONGEST_LIST,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> dict[str, Any]:
    files = [file for file in simulator.state.files if not file.is_expired and purpose in {None, file.purpose}]
    return Page(limit, order, after).of([file.render() for file in files])


@router.get("/files/{file_id}", name="files.retrieve")
async def retrieve_file(simulator: SimulatorDep, file_id: ObjectId) -> dict[str, Any]:
    return simulator.file(file_id).render()


@router.get("/files/{file_id}/content", name="files.content")
async def file_content(simulator: SimulatorDep, file_id: ObjectId) -> Response:
    """Return the bytes of a file. Like the service, refuse files with the purpose `assistants`."""
    file = simulator.file(file_id)
    if file.purpose == "assistants":
        raise invalid("Not allowed to download files of purpose: assistants")
    return Response(simulator.state.content(file_id), media_type="application/octet-stream")


@router.delete("/files/{file_id}", name="files.delete")
async def delete_file(simulator: SimulatorDep, file_id: ObjectId) -> dict[str, Any]:
    """Delete a file and detach it from all vector stores."""
    simulator.state.remove_file(simulator.file(file_id).id)
    return {"id": file_id, "object": "file", "deleted": True}
