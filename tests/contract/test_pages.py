"""Tests of the other pages of docs/: their links lead to pages, their settings exist, and their code works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT, Settings, load_settings, sections, variable_name
from fastapi_ignite.core.security import TokenVerifier
from support.doc_pages import blocks, page
from support.tokens import STRONG_SECRET

PAGES = sorted(str(path.relative_to(PROJECT_ROOT)) for path in PROJECT_ROOT.glob("docs/**/*.md"))
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SETTING = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`")
FRONTEND_SETTINGS = {"NEXT_PUBLIC_API_BASE_URL"}


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes from the headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    folder = (PROJECT_ROOT / name).parent
    for target, anchor in LINK.findall(page(name)):
        path = (folder / target).resolve() if target else PROJECT_ROOT / name
        assert path.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(path.read_text()), f"{target} has no #{anchor}"


@pytest.mark.parametrize("name", ["docs/api.md", "docs/authentication.md", "docs/errors.md", "docs/frontend.md"])
def test_settings_named_are_settings(name: str) -> None:
    known = {variable_name(section, field) for section in sections().values() for field in section.model_fields}
    named = set(SETTING.findall(page(name)))
    assert named
    assert named <= known | FRONTEND_SETTINGS


def test_the_index_lists_every_page() -> None:
    listed = {target for target, _ in LINK.findall(page("docs/README.md"))}
    there = {path.name for path in (PROJECT_ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there | {"openapi.json"} <= listed


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the production settings that authentication.md describes."""
    secrets = {"JWT_SECRET": STRONG_SECRET}
    for name, value in {"ENV": "production", "BACKEND_CORS_ORIGINS": "https://app.example.com", **secrets}.items():
        monkeypatch.setenv(name, value)
    return load_settings(env_file=Path("/nonexistent"))


async def test_the_token_minted_in_python_opens_production(production: Settings) -> None:
    (code,) = blocks(page("docs/authentication.md"), "python")
    made: dict[str, Any] = {}
    exec(code, made)  # noqa: S102  runs the code of the page
    tenant_id = uuid4()
    verifier = TokenVerifier(production)
    assert (await verifier.verify(made["tenant_token"](str(tenant_id)))).tenant_id == tenant_id
