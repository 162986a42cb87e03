#!/usr/bin/env python3
"""`python cli.py --help`. The program is in src/fastapi_ignite."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from fastapi_ignite.cli import run

if __name__ == "__main__":
    run()
