"""All features have the same structure, which "One shape of a feature" in the developer guide describes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastapi_ignite

PACKAGE = Path(fastapi_ignite.__file__).parent
NO_FEATURES = {"api", "cli", "core", "http", "infra", "openai_sim", "rag"}
FEATURES = sorted(
    folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists() and folder.name not in NO_FEATURES
)
WITHOUT_HTTP = ("service.py", "repository.py", "models.py", "errors.py", "tasks.py")


def modules(feature: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((PACKAGE / feature).glob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("feature", FEATURES)
def test_what_a_feature_refuses_is_in_its_errors(feature: str) -> None:
    """Exceptions that no caller sees have names with a leading underscore, and may be defined elsewhere."""
    elsewhere = {
        f"{path.name}: {node.name}"
        for path, tree in modules(feature)
        for node in ast.walk(tree)
        if path.name != "errors.py"
        and isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception")) for base in node.bases)
    }
    assert elsewhere == set()


@pytest.mark.parametrize("feature", FEATURES)
def test_services_know_no_http(feature: str) -> None:
    """The worker, the scheduler and the command line use the services too."""
    found = {
        f"{path.name}: {name}"
        for path, tree in modules(feature)
        for name in imported(tree)
        if path.name in WITHOUT_HTTP and name.startswith(("fastapi.", "starlette", "fastapi_ignite.http"))
    }
    found |= {
        f"{path.name}: fastapi"
        for path, tree in modules(feature)
        if path.name in WITHOUT_HTTP and "fastapi" in set(imported(tree))
    }
    assert found == set()


@pytest.mark.parametrize("feature", FEATURES)
def test_endpoints_get_their_service_by_a_dependency(feature: str) -> None:
    """An endpoint must not make its service; the router declares once how it is made."""
    for path, tree in modules(feature):
        if path.name != "router.py":
            continue
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and node.decorator_list:
                made = {
                    call.func.id
                    for call in ast.walk(node)
                    if isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id.endswith(("Service", "Repo", "Reports", "Log"))
                }
                assert made == set(), f"{feature}/router.py: {node.name}"
