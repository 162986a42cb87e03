"""The protocol of the models that turn text into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


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
