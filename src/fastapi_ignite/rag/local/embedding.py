"""Text to vectors, behind one protocol, and the word pieces that every model's limits are counted in.

NOTICE: `minilm_vocab.txt` is the vocabulary of sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import BertWordPieceTokenizer

Vectors = npt.NDArray[np.float32]

# what the longest answers of the default settings have: 50 ms at most
_COUNTED = 32_000


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


# the model that comes with the package (`minilm.py`), named here for those that need not load it
MINILM: Final = EmbeddingModel("minilm", 384)


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


def halfvec_text(vector: Vectors) -> str:
    """The input format of pgvector, at about the precision of its 16-bit floats."""
    return "[" + ",".join(f"{value:.5g}" for value in vector.tolist()) + "]"


def wordpiece() -> BertWordPieceTokenizer:
    """A new tokenizer of all-MiniLM-L6-v2."""
    return BertWordPieceTokenizer(str(files("fastapi_ignite.rag.text") / "minilm_vocab.txt"), lowercase=True)


@lru_cache(maxsize=1)
def _counting_tokenizer() -> BertWordPieceTokenizer:
    return wordpiece()


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
