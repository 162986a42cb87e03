"""Tests that docs/errors.md has exactly the error codes of the program, with their statuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain

import httpx2

from fastapi_ignite.core.config import PROJECT_ROOT, Settings, default_settings
from fastapi_ignite.http import problems
from fastapi_ignite.http.state import AppState
from fastapi_ignite.rag.extraction.errors import ErrorCode
from support.doc_pages import page
from support.error_types import error_types
from support.http_clients import client_for
from support.http_contract import operations

SOURCE = PROJECT_ROOT / "src" / "fastapi_ignite"
SECTION = re.compile(r"^### `(?P<code>[a-z_]+)`\n\n(?P<text>.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"\*\*(\d{3}|any)\*\* · ")


def sections() -> dict[str, str]:
    """Return the text of the page about each code."""
    found = [(match["code"], match["text"]) for match in SECTION.finditer(page("docs/errors.md"))]
    assert len(dict(found)) == len(found), "a code has two sections, and its link would be ambiguous"
    return dict(found)


def written_codes() -> Iterator[str]:
    """Return the codes that the source has as literals: `code=…` in a call or `"code": …` in a dictionary."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code":
                yield from _texts(node.value)
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                yield from chain.from_iterable(_texts(value) for key, value in pairs if "code" in set(_texts(key)))


def _texts(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def test_the_page_has_every_code_of_the_program_and_no_other() -> None:
    known = {error.code for error in error_types()} | set(written_codes()) | {code.value for code in ErrorCode}
    known |= {*problems._HTTP_CODES.values(), "http_error"}
    assert set(sections()) == known


def test_statuses_are_those_the_program_answers_with() -> None:
    told = {code: STATUS.match(text) for code, text in sections().items()}
    for error in error_types():
        status = told[error.code]
        if error.code in {"configuration_error", "embedded_server_error"}:
            assert status is None
        else:
            assert status is not None, error.code
            assert status[1] == str(error.status), error.code
    for number, code in problems._HTTP_CODES.items():
        status = told[code]
        assert status is not None
        assert status[1] == str(number)


def test_each_code_says_what_to_do() -> None:
    assert [code for code, text in sections().items() if not re.search(r"^Do: \S", text, re.MULTILINE)] == []


def test_codes_of_the_openapi_document_are_on_the_page_with_their_status() -> None:
    told = sections()
    for operation in operations():
        for number, answer in operation.definition["responses"].items():
            for code in re.findall(r"`([a-z_]+)`: ", answer["description"]):
                assert told[code].startswith(f"**{number}** · "), f"{operation}: {code}"


async def test_the_type_of_a_problem_is_the_link_to_its_section(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/limits/current")).json()
    address, _, fragment = body["type"].partition("#")
    assert address == default_settings().app.errors_url
    assert address.endswith("/docs/errors.md")
    assert fragment == body["code"]
    assert fragment in sections()


async def test_errors_url_leads_to_a_page_of_one_s_own(settings: Settings, state: AppState) -> None:
    app = settings.app.model_copy(update={"errors_url": "https://docs.example.com/errors"})
    async with client_for(settings.model_copy(update={"app": app}), state) as caller:
        for answer in (await caller.get("/nowhere"), await caller.post("/tenants/create", content=b"x" * 300_000)):
            body = answer.json()
            assert body["type"] == f"https://docs.example.com/errors#{body['code']}"
