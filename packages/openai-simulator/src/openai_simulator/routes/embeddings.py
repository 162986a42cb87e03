"""The endpoints of embeddings and models."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from openai_simulator.errors import invalid, not_found
from openai_simulator.matching import count_tokens, terms
from openai_simulator.routes.deps import ObjectId, SimulatorDep
from openai_simulator.store_requests import Strict

router = APIRouter()
DIMENSIONS = {"text-embedding-3-large": 3072, "text-embedding-3-small": 1536}
FIXED = 1536  # for models that accept no `dimensions`
INPUT_TOKENS = 8192
TOTAL_TOKENS = 300_000
Token = Annotated[int, Field(ge=0)]
Tokens = Annotated[list[Token], Field(min_length=1, max_length=INPUT_TOKENS)]
EmbeddedText = Annotated[str, Field(min_length=1)]


class CreateEmbeddings(Strict):
    """The body of an embeddings request: texts, or lists of tokens."""

    model: str = Field(max_length=100)
    input: EmbeddedText | Annotated[list[EmbeddedText] | Tokens | list[Tokens], Field(min_length=1, max_length=2048)]
    dimensions: int | None = Field(None, ge=1, le=3072)
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = Field(None, max_length=512)

    def texts(self) -> list[str]:
        if isinstance(self.input, str):
            return [self.input]
        if all(isinstance(each, int) for each in self.input):
            return [" ".join(map(str, self.input))]
        return [each if isinstance(each, str) else " ".join(map(str, _listed(each))) for each in self.input]


@router.post("/embeddings", name="embeddings.create")
async def create_embeddings(simulator: SimulatorDep, asked: CreateEmbeddings) -> dict[str, Any]:
    simulator.model(asked.model)
    texts = asked.texts()
    counts = [count_tokens(text) for text in texts]
    if max(counts) > INPUT_TOKENS or sum(counts) > TOTAL_TOKENS:
        message = f"An input may have {INPUT_TOKENS} tokens, a request {TOTAL_TOKENS}."
        raise invalid(message, "input", "max_tokens_per_request")
    size = _size(asked)
    vectors = [_vector(text, size) for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return {"object": "list", "model": asked.model, "data": data, "usage": usage}


@router.get("/models", name="models.list")
async def list_models(simulator: SimulatorDep) -> dict[str, Any]:
    return {"object": "list", "data": [_model(name) for name in simulator.behaviour.models]}


@router.get("/models/{model}", name="models.retrieve")
async def retrieve_model(simulator: SimulatorDep, model: ObjectId) -> dict[str, Any]:
    if model not in simulator.behaviour.models:
        raise not_found("model", model, "model")
    return _model(model)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "openai-sim"}


def _size(asked: CreateEmbeddings) -> int:
    longest = DIMENSIONS.get(asked.model)
    if asked.dimensions is None:
        return longest or FIXED
    if longest is None:
        raise invalid("This model does not support specifying dimensions.", "dimensions")
    if asked.dimensions > longest:
        raise invalid(f"'dimensions' is at most {longest} for this model.", "dimensions", "integer_above_max_value")
    return asked.dimensions


def _vector(text: str, size: int) -> list[float]:
    """Hash the words of a text into a vector. Texts that share words are near each other; meaning plays no part."""
    vector = [0.0] * size
    for term in terms(text) or {text}:
        digest = hashlib.blake2b(term.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:7]) % size] += 1.0 if digest[7] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:  # words that cancelled each other out
        vector[0] = length = 1.0
    return [value / length for value in vector]


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _listed(value: object) -> list[int]:
    return value if isinstance(value, list) else []
