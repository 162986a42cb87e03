"""The packages beside the product must be found without an installation, and must work without the product."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fastapi_ignite import SOURCE_FOLDERS
from fastapi_ignite.core.config import PROJECT_ROOT

PACKAGES = sorted((PROJECT_ROOT / "packages").iterdir())
MODULES = ("embedded_services", "embedded_services.guardian", "openai_simulator.server")
WITHOUT_SIMULATOR = """
import sys
import fastapi_ignite
sys.path[:] = [folder for folder in sys.path if "openai-simulator" not in folder]
sys.argv = ["cli.py", "openai-sim"]
from fastapi_ignite.cli import run
run()
"""


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with this folder as its only PYTHONPATH."""
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-P", *arguments],
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def project(folder: Path) -> dict[str, Any]:
    """Return the table `project` of the folder's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def test_who_finds_the_product_finds_its_packages() -> None:
    program = f"import fastapi_ignite, {', '.join(MODULES)}"
    found = python("-c", program, folder=PROJECT_ROOT / "src")
    assert found.returncode == 0, found.stderr


def test_every_package_is_a_source_folder() -> None:
    assert {PROJECT_ROOT / "src", *(package / "src" for package in PACKAGES)} == set(SOURCE_FOLDERS)


@pytest.mark.parametrize("module", MODULES)
def test_a_package_works_without_the_product(module: str) -> None:
    (folder,) = (each for each in SOURCE_FOLDERS if (each / module.partition(".")[0]).exists())
    loaded = python("-c", f"import sys, {module}; print(*sys.modules)", folder=folder)
    assert loaded.returncode == 0, loaded.stderr
    names = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert names & {"fastapi_ignite", "embedded_services", "openai_simulator"} == {module.partition(".")[0]}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_requirements_of_the_product_hold_those_of_its_packages(package: Path) -> None:
    """The requirements file is made from the product's dependencies alone, and cannot install a folder."""
    assert set(project(package)["dependencies"]) <= set(project(PROJECT_ROOT)["dependencies"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", project(package)["version"])
    assert (package / project(package)["readme"]).exists()


def test_an_image_without_the_simulator_says_how_to_get_it() -> None:
    refused = python("-c", WITHOUT_SIMULATOR, folder=PROJECT_ROOT / "src")
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: The OpenAI simulator is not installed. Run: pip install ./packages/openai-simulator\n"
    )
