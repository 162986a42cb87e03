"""Benchmarks. Run one of them in the root of the project: `python -m bench.NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (str(ROOT / "src"), str(ROOT / "tests"))
# so that no command needs a PYTHONPATH; importing fastapi_ignite adds the packages beside it
sys.path[:0] = [folder for folder in SOURCES if folder not in sys.path]
