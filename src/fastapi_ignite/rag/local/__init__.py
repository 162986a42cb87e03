"""Retrieval inside PostgreSQL: BM25 in a sparse vector, embeddings in a dense one, answers quoted verbatim."""
