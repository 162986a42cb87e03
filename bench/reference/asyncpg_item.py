"""A handler that reads an item by its primary key with asyncpg alone."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException, Request

from bench.reference import DATABASE
from bench.reference.item import ItemRead

SELECT = "SELECT id, name, description, is_active, created_at, updated_at FROM items WHERE id = $1"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
    url = os.environ[DATABASE].replace("postgresql+asyncpg", "postgresql")
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/items/{item_id}", response_model=ItemRead)
async def read_item(item_id: UUID, request: Request) -> dict[str, Any]:
    row = await request.state.pool.fetchrow(SELECT, item_id)
    if row is None:
        raise HTTPException(404)
    return dict(row)
