"""A handler that answers with the JSON that is stored in Redis under the id of an item."""

from __future__ import annotations

import os
from uuid import UUID

from fastapi import FastAPI, HTTPException, Response
from redis.asyncio import Redis

from bench.reference import REDIS, REDIS_KEY

app = FastAPI()
redis = Redis.from_url(os.environ[REDIS])


@app.get("/items/{item_id}")
async def read_item(item_id: UUID) -> Response:
    item = await redis.get(REDIS_KEY.format(item_id))
    if item is None:
        raise HTTPException(404)
    return Response(item, media_type="application/json")
