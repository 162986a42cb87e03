"""Tests of cached responses, on every backend, in a small application behind the real token check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI, Header, Query
from pydantic import BaseModel, Field, computed_field

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http import problems
from fastapi_ignite.http.deps import PrincipalDep
from fastapi_ignite.http.routing import public_router, requires, tenant_router
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.cache import Cache, RedisBackend, cached_response, get_cache, tag, use_cache
from infra.cache.flaky_redis import refused_url
from support.http_clients import WithState


class Note(BaseModel):
    id: UUID
    owner: UUID = Field(serialization_alias="ownedBy")
    run: int
    language: str

    @computed_field
    def title(self) -> str:
        return f"Note {self.run}"


class NoteNotFoundError(NotFoundError):
    code = "note_not_found"


class Service:
    """Runs the application, makes tokens for its callers, and counts the runs of its endpoint."""

    def __init__(self, settings: Settings, state: AppState) -> None:
        self.runs = 0
        self.missing = False
        self._settings = settings
        self.app = FastAPI()
        problems.install(self.app)
        self.app.include_router(self._router(f"test.{uuid4().hex}"))
        transport = httpx2.ASGITransport(WithState(self.app, state), raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://ignite.test")

    def _router(self, key: str) -> Any:
        router = tenant_router("/notes", "notes")

        @router.get("/{note_id}", openapi_extra=requires(Scope.FILES_READ))
        @cached_response(
            key=key, ttl=60, max_age=5, tags=["note:{note_id}"], vary=["accept-language"], absence=NoteNotFoundError
        )
        async def read_note(
            principal: PrincipalDep,
            note_id: UUID,
            size: Annotated[int, Query(ge=1)] = 1,
            accept_language: Annotated[str, Header()] = "en",
        ) -> Note:
            del size
            self.runs += 1
            run = self.runs
            await asyncio.sleep(0.05)
            if self.missing:
                raise NoteNotFoundError("No such note.")
            return Note(id=note_id, owner=principal.tenant_id, run=run, language=accept_language)

        return router

    def headers(self, tenant_id: UUID) -> dict[str, str]:
        return {"Authorization": f"Bearer {sign_token(tenant_id, self._settings)}"}


@pytest.fixture
async def service(settings: Settings, state: AppState, cache: Cache) -> AsyncGenerator[Service]:
    del cache
    made = Service(settings, state)
    async with made.http:
        yield made


@pytest.fixture
def path() -> str:
    return f"/notes/{uuid4()}"


async def test_the_second_answer_is_the_first_one_again(
    service: Service, path: str, move_clock: Callable[[float], None]
) -> None:
    headers = service.headers(uuid4())
    first = await service.http.get(path, headers=headers)
    move_clock(3.5)
    second = await service.http.get(path, headers=headers)
    assert first.status_code == second.status_code == 200
    assert service.runs == 1
    assert first.content == second.content
    assert set(first.json()) == {"id", "ownedBy", "run", "language", "title"}, "as the client is to see it"
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert (first.headers["age"], second.headers["age"]) == ("0", "3")
    assert first.headers["etag"] == second.headers["etag"]
    assert second.headers["content-type"] == "application/json"
    assert second.headers["cache-control"] == "private, max-age=5, must-revalidate"
    assert second.headers["vary"] == "Authorization, accept-language"


async def test_a_caller_that_has_it_gets_no_body(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    etag = (await service.http.get(path, headers=headers)).headers["etag"]
    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await service.http.get(path, headers={**headers, "If-None-Match": asked})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "cache-control" in answer.headers
        assert "content-type" not in answer.headers
    for asked in ('"other"', etag.strip('"'), ""):
        answer = await service.http.get(path, headers={**headers, "If-None-Match": asked})
        assert answer.status_code == 200


async def test_a_caller_that_has_it_gets_no_body_even_where_it_had_to_be_made_anew(service: Service) -> None:
    note_id, tenant_id = uuid4(), uuid4()
    etag = (await service.http.get(f"/notes/{note_id}", headers=service.headers(tenant_id))).headers["etag"]
    await get_cache().invalidate(tag("note", note_id, tenant_id=tenant_id))
    service.runs = 0
    headers = {**service.headers(tenant_id), "If-None-Match": etag}
    answer = await service.http.get(f"/notes/{note_id}", headers=headers)
    assert (answer.status_code, answer.headers["x-cache"]) == (304, "miss")


async def test_each_tenant_has_its_own(service: Service, path: str) -> None:
    ours, theirs = uuid4(), uuid4()
    for _ in range(2):
        for tenant_id in (ours, theirs):
            answer = await service.http.get(path, headers=service.headers(tenant_id))
            assert answer.json()["ownedBy"] == str(tenant_id)
    assert service.runs == 2
    assert (await service.http.get(path)).status_code == 401


async def test_the_url_identifies_a_response(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    for asked in ("?size=1&x=2", "?x=2&size=1"):
        await service.http.get(path + asked, headers=headers)
    assert service.runs == 1
    for asked in ("", "?size=2", "?size=1", "?size=3"):
        await service.http.get(path + asked, headers=headers)
    assert service.runs == 5


async def test_a_header_that_it_varies_on_does_too(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    for language in ("de", "fr", "de", "fr"):
        answer = await service.http.get(path, headers={**headers, "Accept-Language": language})
        assert answer.json()["language"] == language
    assert service.runs == 2


async def test_tags_name_validated_parameters(service: Service) -> None:
    """The spelling of the id in the URL does not matter."""
    note_id, tenant_id = uuid4(), uuid4()
    spellings = [str(note_id), str(note_id).upper(), note_id.hex]
    headers = service.headers(tenant_id)
    for spelling in spellings:
        await service.http.get(f"/notes/{spelling}", headers=headers)
    await get_cache().invalidate(tag("note", note_id, tenant_id=uuid4()), tag("note", uuid4(), tenant_id=tenant_id))
    service.runs = 100
    for spelling in spellings:
        assert (await service.http.get(f"/notes/{spelling}", headers=headers)).json()["run"] < 100
    await get_cache().invalidate(tag("note", note_id, tenant_id=tenant_id))
    for spelling in spellings:
        assert (await service.http.get(f"/notes/{spelling}", headers=headers)).json()["run"] > 100


async def test_a_404_is_remembered_but_each_answer_is_its_own(service: Service, path: str) -> None:
    service.missing = True
    headers = service.headers(uuid4())
    answers = [await service.http.get(path, headers=headers) for _ in range(3)]
    assert service.runs == 1
    assert [answer.json()["code"] for answer in answers] == ["note_not_found"] * 3
    assert [answer.json()["detail"] for answer in answers] == ["No such note."] * 3
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_a_refused_request_is_refused_again(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    for _ in range(2):
        assert (await service.http.get(f"{path}?size=0", headers=headers)).status_code == 422
    assert service.runs == 0


async def test_a_crowd_runs_the_endpoint_once(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    answers = await asyncio.gather(*(service.http.get(path, headers=headers) for _ in range(100)))
    assert service.runs == 1
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers["x-cache"] for answer in answers].count("miss") == 1


async def test_without_a_backend_every_caller_is_answered(service: Service, path: str) -> None:
    headers = service.headers(uuid4())
    away = Cache(RedisBackend(refused_url(), timeout=5))
    with use_cache(away):
        answers = [await service.http.get(path, headers=headers) for _ in range(3)]
    await away.close()
    assert [answer.headers["x-cache"] for answer in answers] == ["bypass"] * 3
    assert service.runs == 3
    again = await service.http.get(path, headers={**headers, "If-None-Match": "*"})
    assert again.status_code == 304


def test_the_api_pages_show_the_endpoint_as_it_is(service: Service) -> None:
    operation = service.app.openapi()["paths"]["/notes/{note_id}"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"note_id", "size", "accept-language", "tenant_id", "x-tenant-id"}
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Note"}


async def test_a_route_without_a_token_must_say_that_it_is_shared(
    settings: Settings, state: AppState, cache: Cache
) -> None:
    del cache, settings
    app = FastAPI()
    problems.install(app)
    router = public_router("/notes", "notes")

    @router.get("/")
    @cached_response(key="test.public")
    async def read_notes() -> list[int]:
        return [1]

    app.include_router(router)
    transport = httpx2.ASGITransport(WithState(app, state), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://ignite.test") as http:
        assert (await http.get("/notes/")).status_code == 500


@pytest.mark.parametrize(
    "wrong", [{"key": "item:{item_id}"}, {"key": "item", "ttl": 0}, {"key": "item", "ttl": 86_401}, {"key": ""}]
)
def test_wrong_rules_are_refused_where_they_are_written(wrong: dict[str, Any]) -> None:
    async def read() -> int:
        return 1

    with pytest.raises(ValueError, match=r"no parameters|seconds|not of the form"):
        cached_response(**wrong)(read)
