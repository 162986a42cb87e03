"""The protocol of the models that turn text into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class EmbeddingError(Exception):
    """No vector came. Words are searched for instead; a passage is tried again after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that a project's vectors come from. Vectors of two models are never compared.

    `dimensions` is None without vectors, and until a server has answered for the first time.
    """

    name: str
    dimensions: int | None


# the model that comes with the package (`minilm.py`), named here for those that need not load it
MINILM: Final = EmbeddingModel("minilm", 384)


class Embedder(Protocol):
    """Embeds with one model. Vectors have unit length, so the inner product of two is their cosine."""

    @property
    def model(self) -> EmbeddingModel:
        """Return the model, which `rag_indexes` records."""
        ...

    @property
    def batch(self) -> int:
        """Return how many passages are best embedded at once."""
        ...

    def is_calibrated(self, text: str) -> bool:
        """Return whether the answerer's thresholds were chosen for this model and such a text."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Vectors | None]:
        """Return a vector for each text, in order, or None for a text that the model does not take.

        Raises:
            EmbeddingError: nothing was embedded.
        """
        ...

    async def embed_query(self, text: str) -> Vectors:
        """Return the vector of a question, which some models embed otherwise than a passage.

        Raises:
            EmbeddingError: there is none.
        """
        ...


def halfvec_text(vector: Vectors) -> str:
    """Return the vector in the input format of pgvector, at about the precision of its 16-bit floats."""
    return "[" + ",".join(f"{value:.5g}" for value in vector.tolist()) + "]"
