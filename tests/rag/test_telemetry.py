"""Tests that the embedder's runtime sends no reports to its maker, which it does by default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fastapi_ignite.core.config import PROJECT_ROOT

# when the first model is loaded, the runtime would open its spool and write an id of the machine to a file
LOAD = "from fastapi_ignite.rag.local.minilm import load_minilm; load_minilm()"


def test_loading_the_embedder_leaves_no_trace_of_telemetry(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    loaded = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", LOAD], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == []
