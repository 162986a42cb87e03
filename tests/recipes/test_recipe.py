"""The recipes of the developer guide, applied word for word to a copy, must make a feature that passes the checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.infra.services import ServiceAddresses
from recipes.guide_steps import Commands, steps
from support.command_line import CommandLine
from support.databases import new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDERS = ("src/fastapi_ignite/notes/", "tests/notes/")
GENERATED = {".env.example", "docs/configuration.md", "docs/jobs.md", "docs/openapi.json"}
MAX_FILES = 8
# What a copy does not need. It keeps mypy's cache, because mypy is then five times as fast.
UNWANTED = shutil.ignore_patterns(".git", ".venv", ".ignite*", ".hypothesis", ".coverage*", "__pycache__", "*.log")
# the tests that check every feature; no other test knows a new feature
TESTS = """
tests/notes tests/test_feature_shape.py tests/api/test_openapi.py tests/cli/test_settings.py
tests/contract/test_openapi.py tests/contract/test_errors_doc.py tests/contract/test_pages.py
tests/contract/test_api_doc.py::TestEach
tests/contract/test_api_doc.py::test_the_reference_has_every_operation_once_and_no_other
tests/exports/test_sections.py tests/http/test_permissions.py tests/isolation/test_policies.py
tests/isolation/test_messages.py tests/isolation/test_database.py
tests/isolation/test_foreign_ids.py::test_the_sample_tenant_has_an_id_for_every_place
"""


class Copy:
    """A copy of the repository with a database of its own."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self._before = self._digests()
        programs = Path(sys.executable).parent
        self._environment = {**variables, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)}
        # the copy uses the installed dependencies of the tests, so make need not install any
        stamps = [part for name in (".runtime", ".dev") for part in ("-o", f"{programs.parent}/{name}")]
        self._make = ["make", "--silent", f"VENV={programs.parent}", *stamps]

    def run(self, line: str) -> None:
        """Run one line of the guide or of a test, and check that it succeeds."""
        program, *arguments = line.split() if '"' not in line else ["bash", "-c", line]
        command = [*self._make, *arguments] if program == "make" else [program, *arguments]
        ended = subprocess.run(  # noqa: S603  commands of our own guide
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=500
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"

    def changed(self) -> set[str]:
        """Return the files that were added or changed since the copy was made."""
        return {path for path, digest in self._digests().items() if self._before.get(path) != digest}

    def _digests(self) -> dict[str, bytes]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): sha256(path.read_bytes()).digest()
            for path in files
            if not any(part.endswith(("_cache", "__pycache__")) for part in path.parts)
        }


@pytest.fixture
def copy(addresses: ServiceAddresses, tmp_path: Path) -> Iterator[Copy]:
    shutil.copytree(PROJECT_ROOT, tmp_path / "copy", ignore=UNWANTED)
    with new_database(addresses, template="template_migrated") as own:
        yield Copy(tmp_path / "copy", CommandLine.on_servers(tmp_path, own).environment)


def follow(heading: str, copy: Copy) -> None:
    """Do what a section says, except for its last commands, which the test runs after all sections."""
    for step in steps(heading):
        if not isinstance(step, Commands):
            step.apply(copy.folder)
            continue
        for line in step.lines:
            if line not in {"make pages", "make check"}:
                copy.run(line)


def test_a_feature_and_another_version_of_it_pass_the_checks(copy: Copy) -> None:
    follow("Add a feature", copy)
    touched = {path for path in copy.changed() if not path.startswith(FOLDERS)}
    assert len(touched) <= MAX_FILES, sorted(touched)
    follow("Add a version of the API", copy)
    copy.run("make pages")
    assert copy.changed() >= GENERATED
    copy.run("python cli.py db migrate")
    copy.run("make lint types layers migrations")
    # a project without exports has no test of their sections
    existing = [test for test in TESTS.split() if (copy.folder / test.partition("::")[0]).exists()]
    copy.run(f"python -m pytest -q -n 0 -p no:cacheprovider {' '.join(existing)}")
