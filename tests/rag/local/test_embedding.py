"""The embedding model that is part of the package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastapi_ignite.rag.local.embedding import Vectors, halfvec_text
from fastapi_ignite.rag.local.minilm import MiniLmEmbedder, load_minilm
from fastapi_ignite.rag.text.tokens import count_tokens
from support.rag_projects import RagProjectFactory

PAIRS = [
    ("The pump may be returned within thirty days.", "You have a month to send the pump back."),
    ("Employees get 25 days of paid vacation.", "How many holidays does the staff have each year?"),
    ("The server was down because the disk was full.", "An outage was caused by lack of storage space."),
    ("Our headquarters are in Berlin.", "The company's main office is in the German capital."),
]


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return load_minilm()


async def passages_of(embedder: MiniLmEmbedder, texts: list[str]) -> Vectors:
    """Return the vectors of the passages as the rows of a matrix."""
    return np.array(await embedder.embed_passages(texts))


async def questions_of(embedder: MiniLmEmbedder, texts: list[str]) -> Vectors:
    """Return the vectors of the questions, each embedded in a call of its own."""
    return np.array([await embedder.embed_query(text) for text in texts])


async def test_paraphrases_are_nearer_than_anything_unrelated(embedder: MiniLmEmbedder) -> None:
    passages = await passages_of(embedder, [passage for passage, _ in PAIRS])
    questions = await questions_of(embedder, [question for _, question in PAIRS])
    cosines = questions @ passages.T
    unrelated = cosines[~np.eye(len(PAIRS), dtype=bool)]
    assert np.diag(cosines).min() > unrelated.max() + 0.1


async def test_vectors_have_unit_length_and_come_in_the_order_of_the_texts(embedder: MiniLmEmbedder) -> None:
    texts = [f"{'word ' * (37 * number % 50)}number {number}" for number in range(13)]
    vectors = await passages_of(embedder, texts)
    assert vectors.shape == (len(texts), embedder.model.dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    alone = await questions_of(embedder, texts)
    assert (alone @ vectors.T).argmax(axis=1).tolist() == list(range(len(texts)))
    assert np.allclose(alone, vectors, atol=1e-5)  # the other texts of a run do not change a vector


async def test_the_same_texts_give_the_same_vectors(embedder: MiniLmEmbedder) -> None:
    texts = [passage for pair in PAIRS for passage in pair]
    assert np.array_equal(await passages_of(embedder, texts), await passages_of(embedder, texts))


@pytest.mark.parametrize("text", ["", " ", "\u200b", "日本語", "x" * 100_000, "word " * 5_000])
async def test_any_text_has_a_vector(embedder: MiniLmEmbedder, text: str) -> None:
    vector = await embedder.embed_query(text)
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_process_loads_a_model_once_whoever_asks_first() -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load_minilm(), range(16)))
    assert len({id(each) for each in loaded}) == 1


async def test_the_database_reads_a_vector_with_little_loss(
    embedder: MiniLmEmbedder, rag_project: RagProjectFactory
) -> None:
    project = await rag_project()
    vector = await embedder.embed_query("The pump may be returned within thirty days.")
    sql = "SELECT (CAST(:vector AS text)::halfvec)::real[], vector_dims(CAST(:vector AS text)::halfvec)"
    stored, dimensions = (await project.rows(sql, vector=halfvec_text(vector)))[0]
    assert dimensions == 384
    assert np.array(stored) == pytest.approx(vector, abs=1e-3)


def test_tokens_are_counted_to_the_end() -> None:
    assert count_tokens("") == 0
    assert count_tokens("The pump runs.") == 4
    assert count_tokens("pump " * 3_000) == 3_000
