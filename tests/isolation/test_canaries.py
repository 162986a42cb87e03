"""Words that one tenant sends must not reach another tenant's answers, the log, or Redis."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

import httpx2
import pytest
from redis import Redis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.db import Database
from isolation.id_places import OPERATIONS, Place, places, request
from isolation.redis_traffic import recorded
from isolation.sample_tenant import SampleTenant, SampleTenantFactory
from support.both_engines import ENGINES
from support.http_contract import Operation
from support.tenant_records import rows_of

OWNER, CALLER = "heliotropium", "callithrix"
PROVIDER_IDS = "SELECT provider_id FROM provider_stores UNION ALL SELECT provider_id FROM provider_files"
COMMON_QUESTION = "What opens the vault of the north wing?"
ENDLESS = "/ingestion/projects/{project_id}/events"  # this client reads to the end
# Commands that name no tenant: connections, scripts, and keys that all tenants share: queues, heartbeats,
# limits of addresses and of the provider's account, cached items. A new kind of key names its tenant or is added here.
SHARED = re.compile(
    r"(?:HELLO|AUTH|SELECT|CLIENT|PING|SCRIPT LOAD|TIME)\b.*"
    r"|EVALSHA \w+ 0"  # without keys and arguments: Dramatiq asks what Redis can do
    r"|(?:EVALSHA \w+ \d+|EVAL .+? \d+|SCAN \d+ MATCH|\w+) "
    r"(?:ignite-jobs\b|heartbeat:|(?:rate|done):\{address:|rate:\{openai:(?:uploads|attached-files)\}|(?:~lock:)?item:|~tag:(?:-:|~all)).*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API: `seen` is its whole text with unpacked archives, and `sent` are the ids of the request."""

    request: str
    sent: frozenset[str]
    seen: str


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that was visible while one tenant was made and another one called every operation.

    Both have a project at OpenAI, in one account; `owners_objects` are the provider's ids of the owner's objects.
    """

    owner: SampleTenant
    caller: SampleTenant
    answers: Sequence[Answer]
    log: str
    commands: Sequence[str]
    owners_objects: Sequence[str]


async def call_everything(caller: SampleTenant, owner: SampleTenant) -> AsyncGenerator[Answer]:
    """Call each operation with the caller's own ids, and then with each of the owner's ids.

    All questions are such that the owner's document would answer them.
    """
    for operation in sorted(OPERATIONS, key=lambda operation: operation.method == "DELETE"):
        for engine in ENGINES:
            async for answer in _call(operation, caller.at(engine), owner.at(engine)):
                yield answer


async def _call(operation: Operation, caller: SampleTenant, owner: SampleTenant) -> AsyncGenerator[Answer]:
    found = places(operation)
    variants: list[Mapping[Place, str]] = [{place: caller.ids[place.name] for place in found}]
    variants += [{place: owner.ids[place.name]} for place in found]
    for sent in variants:
        made = request(operation, caller.ids, sent)
        for asking in made.get("json", {}).keys() & {"question", "query"}:
            made["json"][asking] = COMMON_QUESTION
        if "idempotency-key" in operation.parameters("header"):
            made["headers"]["Idempotency-Key"] = owner.key
        if operation.path == ENDLESS:
            made["method"] = "HEAD"
        made["headers"] = {**caller.tenant.headers, **made["headers"]}
        answer = await caller.tenant.http.request(**made)
        yield Answer(f"{operation} {answer.status_code}", frozenset(sent.values()), _all_of(answer))


def _all_of(answer: httpx2.Response) -> str:
    headers = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    if answer.headers.get("content-type") != "application/zip":
        return headers + answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return headers + "".join(f"{name}\n{archive.read(name).decode()}\n" for name in archive.namelist())


@pytest.fixture
async def observed(
    make_sample_tenant: SampleTenantFactory,
    settings: Settings,
    database: Database,
    redis: Redis,
    restored_logging: None,
    capsys: pytest.CaptureFixture[str],
) -> Observations:
    del restored_logging
    capsys.readouterr()
    configure_logging(settings.model_copy(update={"app": settings.app.model_copy(update={"log_level": "DEBUG"})}))
    with recorded(redis) as commands:
        owner = await make_sample_tenant(OWNER)
        caller = await make_sample_tenant(CALLER)
        answers = [answer async for answer in call_everything(caller, owner)]
    rows = await rows_of(database, owner.tenant.id, PROVIDER_IDS) if "openai" in ENGINES else []
    return Observations(owner, caller, answers, capsys.readouterr().err, commands, [row["provider_id"] for row in rows])


async def test_words_and_ids_of_one_tenant_reach_no_other(observed: Observations) -> None:
    """This is one test, because every operation has to be called before any check."""
    check_answers(observed)
    check_log(observed)
    check_redis(observed)


def check_answers(observed: Observations) -> None:
    everything = "".join(answer.seen for answer in observed.answers)
    assert observed.caller.fact in everything, "documents, archives and answers are looked at"
    assert [answer.request for answer in observed.answers if OWNER in answer.seen] == []
    leaked = {
        answer.request: name
        for answer in observed.answers
        for name, value in observed.owner.all_ids
        if value in answer.seen and value not in answer.sent
    }
    assert leaked == {}
    assert bool(observed.owners_objects) is ("openai" in ENGINES)
    assert [each for each in observed.owners_objects if each in everything] == []


def check_log(observed: Observations) -> None:
    assert str(observed.owner.tenant.id) in observed.log
    assert [line for line in observed.log.splitlines() if OWNER in line or CALLER in line] == []


def check_redis(observed: Observations) -> None:
    owner, caller = str(observed.owner.tenant.id), str(observed.caller.tenant.id)
    rows = {value for tenant in (observed.owner, observed.caller) for _, value in tenant.all_ids} - {owner, caller}
    for command in observed.commands:
        named = {tenant for tenant in (owner, caller) if tenant in command}
        assert OWNER not in command
        assert CALLER not in command
        assert len(named) < 2, command
        if named:
            other = observed.caller if owner in named else observed.owner
            assert not any(value in command for _, value in other.all_ids), command
        else:
            assert not any(value in command for value in rows), command
            assert SHARED.fullmatch(command), command
    assert {"rate:{tenant:" + tenant + "}" for tenant in (owner, caller)} <= {
        word for command in observed.commands for word in command.split()
    }
