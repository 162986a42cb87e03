"""Tokens, counted in the word pieces of all-MiniLM-L6-v2, which is about what other models count.

NOTICE: `minilm_vocab.txt` is the vocabulary of sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from tokenizers import BertWordPieceTokenizer

# The longest answers of the default settings have so many characters, which take 50 ms at most.
_COUNTED = 32_000


def wordpiece() -> BertWordPieceTokenizer:
    """Return a new tokenizer of all-MiniLM-L6-v2."""
    return BertWordPieceTokenizer(str(files("fastapi_ignite.rag.text") / "minilm_vocab.txt"), lowercase=True)


@lru_cache(maxsize=1)
def _counting_tokenizer() -> BertWordPieceTokenizer:
    return wordpiece()


def count_tokens(text: str) -> int:
    """Return the number of tokens of a text, which is never truncated."""
    return len(_counting_tokenizer().encode(text, add_special_tokens=False))


def estimate_tokens(text: str) -> int:
    """Count within milliseconds for any text, by taking a long one to be as dense as its beginning."""
    beginning = text[:_COUNTED]
    counted = count_tokens(beginning)
    return counted if len(beginning) == len(text) else round(counted * len(text) / len(beginning))


def truncate(text: str, max_tokens: int) -> str:
    """Return the beginning of the text, of at most `max_tokens` tokens."""
    if len(text) <= max_tokens:
        return text
    encoding = _counting_tokenizer().encode(text, add_special_tokens=False)
    return text if len(encoding.ids) <= max_tokens else text[: encoding.offsets[max_tokens - 1][1]]
