"""The embedding model that comes with the package: all-MiniLM-L6-v2 in the ONNX runtime.

Importing this module loads the runtime's libraries (30 MB), and the first `load_minilm` the weights (40 MB in 8-bit
integers, 110 MB in floats), so only a process that embeds does either.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, TypeVar

from fastapi_ignite.rag.local.embedding import MINILM, Vectors
from fastapi_ignite.rag.local.minilm_transformers import Transformer, load_transformer
from fastapi_ignite.rag.text.tokens import wordpiece

# the length the model was trained at; its 512 positions beyond that carry noise
MAX_TOKENS: Final = 256
# Padding included, of all texts of a run together. In floats a run holds up to 35 MB then, whatever it embeds (four
# texts of 256 tokens held 150 MB), and long texts take a tenth less CPU: their results stay in the processor's cache.
RUN_TOKENS: Final = 256
# Each run computes in one thread. More at a time than there are processors only hold memory.
MAX_RUNS: Final = 4
_LATIN: Final = re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]")
T = TypeVar("T")


class MiniLmEmbedder:
    """Embeds with all-MiniLM-L6-v2: English, 384 dimensions, 15 to 45 passages a CPU second.

    However many callers there are, `runs_at_a_time` bounds the runs and with them the memory.
    """

    model = MINILM
    # a work of one second, or of three on a processor that computes in floats
    batch = 32

    def __init__(self, transformer: Transformer) -> None:
        self.runs_at_a_time = min(_usable_processors(), MAX_RUNS)
        self._tokenizer = wordpiece()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._transformer = transformer
        # not asyncio's own threads: there are more of those, and files are read and written in them
        self._threads = ThreadPoolExecutor(self.runs_at_a_time, thread_name_prefix="minilm")

    @property
    def arithmetic(self) -> str:
        """Return what the model computes in, `8-bit integers` or `floats`, as is told to an operator."""
        return self._transformer.arithmetic

    def is_calibrated(self, text: str) -> bool:
        """Return whether most letters are Latin: all texts of another script are alike to this model."""
        letters = sum(map(str.isalpha, text))
        return 2 * len(_LATIN.findall(text)) >= letters

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """Embed run by run, so that a question waits for one run at most, not for a list of passages."""
        tokens = await self._in_thread(self._tokenize, texts)
        vectors: list[Vectors | None] = [None] * len(texts)
        for positions in _runs(tokens):
            embedded = await self._in_thread(self._transformer.embed, [tokens[position] for position in positions])
            for position, vector in zip(positions, embedded, strict=True):
                vectors[position] = vector
        return vectors

    async def embed_query(self, text: str) -> Vectors:
        """Embed a question like a passage, since the model is symmetric."""
        vectors = await self._in_thread(lambda: self._transformer.embed(self._tokenize([text])))
        vector: Vectors = vectors[0]
        return vector

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run in a thread of the model, which does not hold the interpreter's lock while it computes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        # one by one: for `encode_batch` the tokenizer starts threads, which then wait by spinning beside the model's
        return [self._tokenizer.encode(text).ids for text in texts]


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
    return MiniLmEmbedder(load_transformer())


def load_minilm() -> MiniLmEmbedder:
    """Return the one instance of the process. Call it in a thread: the first call reads the weights (0.1 to 0.3 s)."""
    # lru_cache alone lets two first callers load two models
    with _loading:
        return _minilm()


def _usable_processors() -> int:
    """Return the number of processors that this process may use. A container's share of time is not known here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
