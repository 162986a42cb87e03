"""Starts the server: `python -m openai_simulator --port 8100`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from openai_simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="openai-simulator",
        description="Serve a simulator of OpenAI's API on 127.0.0.1, for development and tests.",
    )
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--state", type=Path, help="SQLite file that keeps objects over a restart; default: memory")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.state))


if __name__ == "__main__":
    main()
