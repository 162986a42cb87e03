"""A handler that returns a constant: what FastAPI and the server cost by themselves."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel


class Health(BaseModel):
    """The answer of our own `health`."""

    status: Literal["ok"] = "ok"
    version: str = "1"


app = FastAPI()


@app.get("/health")
async def health() -> Health:
    return Health()
