"""Tests of HEAD requests, of a slash at the end of a path, and of the OpenAPI document."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from support.http_clients import TenantClient
from support.http_contract import CHANGING_HEADERS, COUNTDOWN_HEADERS, Operation, document, operations, problem

ORIGIN = "http://ignite.test"
READS = [operation for operation in operations() if operation.method == "GET"]
OTHERS = {operation.path for operation in operations()} - {operation.path for operation in READS}
HOSTILE = {"Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
PAGES = ("/api/openapi.json", "/api/docs", "/api/redoc", "/api/assets/favicon.svg")
DIFFERENT_EACH_TIME = CHANGING_HEADERS | COUNTDOWN_HEADERS | {"age", "x-cache"}


def stable_headers(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in DIFFERENT_EACH_TIME}


class TestHead:
    """These tests check that HEAD answers like GET, without the body."""

    @pytest.mark.parametrize("operation", READS, ids=str)
    async def test_every_read_has_it(
        self, client: httpx2.AsyncClient, tenant: TenantClient, admin_key: str, operation: Operation
    ) -> None:
        bearer = tenant.headers if operation.for_tenants else {"Authorization": f"Bearer {admin_key}"}
        url = operation.url()
        await client.get(url, headers=bearer)  # the next one clears nothing, where a read clears the cache
        read = await client.get(url, headers=bearer)
        head = await client.head(url, headers=bearer)
        assert (head.status_code, head.content) == (read.status_code, b"")
        if read.headers["content-type"] == "application/json" or read.is_success:
            assert stable_headers(head) == stable_headers(read)
        assert head.status_code != 405

    @pytest.mark.parametrize("path", PAGES)
    async def test_so_has_every_page(self, client: httpx2.AsyncClient, path: str) -> None:
        read, head = await client.get(f"{ORIGIN}{path}"), await client.head(f"{ORIGIN}{path}")
        assert (read.status_code, head.status_code, head.content) == (200, 200, b"")
        assert stable_headers(head) == stable_headers(read)
        assert int(head.headers["content-length"]) == len(read.content)

    @pytest.mark.parametrize("path", sorted(OTHERS))
    async def test_what_cannot_be_read_has_none(self, client: httpx2.AsyncClient, path: str) -> None:
        answer = await client.head(path.replace("{", "").replace("}", ""))
        if answer.status_code == 405:
            assert "HEAD" not in answer.headers["allow"]
        else:  # a path with a parameter, which can be read, matches it too
            assert answer.status_code in {401, 422}

    async def test_it_is_allowed_where_get_is(self, client: httpx2.AsyncClient) -> None:
        for path, allowed in (("/health", "GET, HEAD"), ("/api-keys", "GET, HEAD, POST"), ("/query/ask", "POST")):
            answer = await client.request("PATCH", path)
            assert answer.headers["allow"] == allowed
            problem(answer, 405, "method_not_allowed")

    async def test_a_refusal_has_its_status(self, client: httpx2.AsyncClient) -> None:
        for path, status in (("/nothing", 404), ("/limits/current", 401), ("/query/ask", 405)):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (status, b"")


class TestSlash:
    """These tests check that both spellings are one operation.

    A redirect could lead to a host that the headers of the caller name.
    """

    @pytest.mark.parametrize("path", ["/plans/", "/plans", "/app-info", "/app-info/", "/health", "/health/"])
    async def test_a_read(self, client: httpx2.AsyncClient, path: str) -> None:
        answer = await client.get(path, headers=HOSTILE)
        assert answer.status_code == 200
        assert "evil.example" not in f"{answer.headers} {answer.text}"

    @pytest.mark.parametrize("path", ["/ingestion/projects/create", "/ingestion/projects/create/"])
    async def test_a_write(self, tenant: TenantClient, path: str) -> None:
        made = await tenant.post(path, params={"name": "Manuals"}, headers=HOSTILE)
        files = f"/ingestion/projects/{made.json()['id']}/files"
        for spelling in (files, f"{files}/"):
            assert (await tenant.get(spelling)).json()["files"] == []

    async def test_a_bearer_is_asked_for_in_both(self, client: httpx2.AsyncClient, tenant: TenantClient) -> None:
        for path in ("/limits/current", "/limits/current/"):
            problem(await client.get(path), 401, "invalid_token")
            assert (await tenant.get(path)).status_code == 200

    @pytest.mark.parametrize("path", ["/nothing/", "/nothing", "//evil.example/", "/health//", "/query//search/", "/"])
    async def test_an_unknown_path_is_unknown_in_both(self, client: httpx2.AsyncClient, path: str) -> None:
        problem(await client.get(path, headers=HOSTILE), 404, "not_found")

    @pytest.mark.parametrize("page", ["docs", "redoc"])
    async def test_pages_with_relative_links_have_one_address(self, client: httpx2.AsyncClient, page: str) -> None:
        answer = await client.get(f"{ORIGIN}/api/{page}/", headers=HOSTILE)
        assert (answer.status_code, answer.headers["location"]) == (308, f"../{page}")
        assert (await client.get(f"{ORIGIN}/api/{page}")).status_code == 200


class TestDocument:
    """These tests check that the document is made once, and that a client which has it does not get it again."""

    async def test_it_is_not_sent_again(self, client: httpx2.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.get(f"{ORIGIN}/api/openapi.json") for _ in range(10)))
        assert {answer.content for answer in answers} == {answers[0].content}
        assert answers[0].json() == document()
        etag = answers[0].headers["etag"]
        again = await client.get(f"{ORIGIN}/api/openapi.json", headers={"If-None-Match": f'"x", W/{etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        other = await client.get(f"{ORIGIN}/api/openapi.json", headers={"If-None-Match": '"x"'})
        assert other.content == answers[0].content
