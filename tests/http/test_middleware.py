"""Tests of request ids, of the limit on bodies, and of CORS."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.middleware import MAX_BODY_BYTES
from fastapi_ignite.http.state import AppState
from support.http_clients import TenantClient, client_for
from support.http_contract import problem

JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
ORIGIN = "https://app.example.com"
CHUNK = 64 * 1024


class TestRequestIds:
    """These tests check that a simple request id of the caller is kept, and that any other one is replaced."""

    @pytest.mark.parametrize("plain", ["a", "4711", "web-1.abc_DEF", "x" * 64, "f47ac10b-58cc-4372-a567-0e02b2c3d479"])
    async def test_a_plain_one_is_kept(self, client: httpx2.AsyncClient, plain: str) -> None:
        headers = {"X-Request-ID": plain}
        assert (await client.get("/health", headers=headers)).headers["x-request-id"] == plain
        assert problem(await client.get("/nothing", headers=headers), 404, "not_found")["request_id"] == plain

    @pytest.mark.parametrize(
        "hostile", ["", "x" * 65, "a b", "a\tb", "<script>", "a;b", "a,b", "../a", "é", "\x7f", '{"a":1}', "a\\nb"]
    )
    async def test_a_hostile_one_is_replaced(self, client: httpx2.AsyncClient, hostile: str) -> None:
        answer = await client.get("/health", headers={b"X-Request-ID": hostile.encode("latin-1")})
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])

    async def test_each_request_has_its_own(self, client: httpx2.AsyncClient) -> None:
        ids = [(await client.get("/health")).headers["x-request-id"] for _ in range(5)]
        assert len(set(ids)) == 5


class Stream:
    """Sends a body of unknown length, and counts the bytes that were read."""

    def __init__(self, byte_count: int) -> None:
        self.byte_count = byte_count
        self.taken = 0

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while self.taken < self.byte_count:
            self.taken += CHUNK
            yield b" " * CHUNK


class TestBodyLimit:
    """These tests check that a body is cut at the limit while it streams in, whatever its content type is."""

    @pytest.mark.parametrize("headers", [JSON, MULTIPART, {"Content-Type": "text/plain"}, {}], ids=str)
    async def test_a_body_of_unknown_length_is_cut(self, tenant: TenantClient, headers: dict[str, str]) -> None:
        for path in ("/api-keys", "/query/ask"):
            body = Stream(MAX_BODY_BYTES * 8)
            answer = await tenant.post(path, content=body, headers=headers)
            problem(answer, 413, "body_too_large")
            assert body.taken == MAX_BODY_BYTES + CHUNK

    @pytest.mark.parametrize("headers", [JSON, MULTIPART], ids=str)
    async def test_a_body_that_says_its_length_is_not_read(self, tenant: TenantClient, headers: dict[str, str]) -> None:
        body = Stream(MAX_BODY_BYTES + 1)
        answer = await tenant.post(
            "/api-keys", content=body, headers={**headers, "Content-Length": str(MAX_BODY_BYTES + 1)}
        )
        problem(answer, 413, "body_too_large")
        assert body.taken == 0

    async def test_the_last_byte_allowed_is_allowed(self, tenant: TenantClient) -> None:
        key = b'{"name": "Notebook"}'
        fits = await tenant.post("/api-keys", content=key.ljust(MAX_BODY_BYTES), headers=JSON)
        assert fits.status_code == 201
        longer = await tenant.post("/api-keys", content=key.ljust(MAX_BODY_BYTES + 1), headers=JSON)
        problem(longer, 413, "body_too_large")

    async def test_a_key_does_not_open_the_door_for_a_body(self, tenant: TenantClient) -> None:
        """The route takes no body, but the fingerprint of a request with a key reads one."""
        body = Stream(MAX_BODY_BYTES * 2)
        answer = await tenant.post(
            "/ingestion/projects/create", params={"name": "a"}, headers={"Idempotency-Key": "k"}, content=body
        )
        problem(answer, 413, "body_too_large")
        assert (await tenant.get("/limits/current")).json()["usage"]["projects"] == 0

    async def test_a_bad_token_is_told_first(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/query/ask", content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
        problem(answer, 401, "invalid_token")


class TestOtherOrigins:
    """These tests check that browsers may read answers only if their exact origin is set."""

    @pytest.fixture
    async def api(self, settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
        origins = settings.cors.model_copy(update={"origins": (ORIGIN,)})
        async with client_for(settings.model_copy(update={"cors": origins}), state) as client:
            yield client

    async def test_a_named_origin_reads_answers_and_problems(
        self, api: httpx2.AsyncClient, tenant: TenantClient
    ) -> None:
        for path, headers in (("/health", {}), ("/limits/current", tenant.headers), ("/limits/current", {})):
            answer = await api.get(path, headers={**headers, "Origin": ORIGIN})
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert "origin" in answer.headers["vary"].lower()
            exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
            assert exposed >= {
                "x-request-id",
                "retry-after",
                "ratelimit",
                "ratelimit-policy",
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "x-ratelimit-mode",
            }

    @pytest.mark.parametrize(
        "origin",
        [
            "https://example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example/?https://app.example.com",
            "https://APP.example.com",
            "null",
        ],
    )
    async def test_any_other_does_not(self, api: httpx2.AsyncClient, origin: str) -> None:
        answer = await api.get("/health", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        ask_first = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in (await api.options("/query/ask", headers=ask_first)).headers

    async def test_what_a_browser_asks_first(self, api: httpx2.AsyncClient) -> None:
        """A browser sends no method and no header that is not allowed here, so each operation must be."""
        document = (await api.get(str(api.base_url.join("/api/openapi.json")))).json()
        operations = [
            (path, method.upper(), {each["name"] for each in operation.get("parameters", []) if each["in"] == "header"})
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        assert {method for _, method, _ in operations} >= {"GET", "POST", "PUT", "PATCH", "DELETE"}
        always = {"authorization", "content-type", "x-request-id", "if-none-match", "if-range", "range"}
        for path, method, names in operations:
            wanted = ", ".join(sorted(always | {name.lower() for name in names}))
            answer = await api.options(
                str(api.base_url.join(path)),
                headers={
                    "Origin": ORIGIN,
                    "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": wanted,
                },
            )
            assert answer.status_code == 200, (method, path, answer.text)
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert method in answer.headers["access-control-allow-methods"]

    async def test_no_origin_is_named_unless_set(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get("/health", headers={"Origin": ORIGIN})
        assert "access-control-allow-origin" not in answer.headers
