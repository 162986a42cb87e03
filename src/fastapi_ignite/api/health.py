"""Liveness and metadata; exempt from limits."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from fastapi_ignite.http.deps import SettingsDep

API_VERSION = "1"
router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The API is reachable."""

    status: Literal["ok"] = "ok"
    version: str = API_VERSION


class AppInfo(BaseModel):
    """What runs here."""

    name: str
    description: str
    version: str


@router.get("/health")
async def health() -> Health:
    """A static answer: it asks neither database nor Redis."""
    return Health()


@router.get("/app-info")
async def app_info(settings: SettingsDep) -> AppInfo:
    """Name, description and version as configured."""
    return AppInfo(
        name=settings.app.project_name, description=settings.app.project_description, version=settings.app.version
    )
