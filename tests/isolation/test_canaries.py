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
from isolation.household import Household, HouseholdFactory
from isolation.id_places import OPERATIONS, Place, places, request
from isolation.redis_traffic import recorded
from support.both_engines import ENGINES
from support.http_contract import Operation
from support.tenant_records import rows_of

KEEPER, VISITOR = "heliotropium", "callithrix"
PROVIDER_IDS = "SELECT provider_id FROM provider_stores UNION ALL SELECT provider_id FROM provider_files"
ANYBODYS_QUESTION = "What opens the vault of the north wing?"
# Commands that name no tenant: connections, scripts, and keys that all tenants share: queues, heartbeats,
# limits of addresses and of the provider's account, cached items. A new kind of key names its tenant or is added here.
SHARED = re.compile(
    r"(?:HELLO|AUTH|SELECT|CLIENT|PING|SCRIPT LOAD|TIME)\b.*"
    r"|(?:EVALSHA \w+ \d+|SCAN \d+ MATCH|\w+) "
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
class Round:
    """Everything that was visible while one tenant was made and another one called every operation.

    Both have a project at OpenAI, in one account; `owners_objects` are the provider's ids of the owner's objects.
    """

    keeper: Household
    visitor: Household
    answers: Sequence[Answer]
    log: str
    commands: Sequence[str]
    keepers_objects: Sequence[str]


async def call_everything(visitor: Household, keeper: Household) -> AsyncGenerator[Answer]:
    """Call each operation with the caller's own ids, and then with each of the owner's ids.

    All questions are such that the owner's document would answer them.
    """
    for operation in sorted(OPERATIONS, key=lambda operation: operation.method == "DELETE"):
        for engine in ENGINES:
            async for answer in _call(operation, visitor.at(engine), keeper.at(engine)):
                yield answer


async def _call(operation: Operation, visitor: Household, keeper: Household) -> AsyncGenerator[Answer]:
    found = places(operation)
    variants: list[Mapping[Place, str]] = [{place: visitor.ids[place.name] for place in found}]
    variants += [{place: keeper.ids[place.name]} for place in found]
    for sent in variants:
        made = request(operation, visitor.ids, sent)
        for asking in made.get("json", {}).keys() & {"question", "query"}:
            made["json"][asking] = ANYBODYS_QUESTION
        if "idempotency-key" in operation.parameters("header"):
            made["headers"]["Idempotency-Key"] = keeper.key
        made["headers"] = {**visitor.tenant.headers, **made["headers"]}
        answer = await visitor.tenant.http.request(**made)
        yield Answer(f"{operation} {answer.status_code}", frozenset(sent.values()), _all_of(answer))


def _all_of(answer: httpx2.Response) -> str:
    headers = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    if answer.headers.get("content-type") != "application/zip":
        return headers + answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return headers + "".join(f"{name}\n{archive.read(name).decode()}\n" for name in archive.namelist())


@pytest.fixture
async def seen(
    settle_down: HouseholdFactory,
    settings: Settings,
    database: Database,
    redis: Redis,
    logging_as_before: None,
    capsys: pytest.CaptureFixture[str],
) -> Round:
    del logging_as_before
    capsys.readouterr()
    configure_logging(settings.model_copy(update={"app": settings.app.model_copy(update={"log_level": "DEBUG"})}))
    with recorded(redis) as commands:
        keeper = await settle_down(KEEPER)
        visitor = await settle_down(VISITOR)
        answers = [answer async for answer in call_everything(visitor, keeper)]
    rows = await rows_of(database, keeper.tenant.id, PROVIDER_IDS) if "openai" in ENGINES else []
    return Round(keeper, visitor, answers, capsys.readouterr().err, commands, [row["provider_id"] for row in rows])


async def test_words_and_ids_of_one_tenant_reach_no_other(seen: Round) -> None:
    """This is one test, because every operation has to be called before any check."""
    look_at_answers(seen)
    look_at_the_log(seen)
    look_at_redis(seen)


def look_at_answers(seen: Round) -> None:
    everything = "".join(answer.seen for answer in seen.answers)
    assert seen.visitor.fact in everything, "documents, archives and answers are looked at"
    assert [answer.request for answer in seen.answers if KEEPER in answer.seen] == []
    told = {
        answer.request: name
        for answer in seen.answers
        for name, value in seen.keeper.all_ids
        if value in answer.seen and value not in answer.sent
    }
    assert told == {}
    assert bool(seen.keepers_objects) is ("openai" in ENGINES)
    assert [each for each in seen.keepers_objects if each in everything] == []


def look_at_the_log(seen: Round) -> None:
    assert str(seen.keeper.tenant.id) in seen.log
    assert [line for line in seen.log.splitlines() if KEEPER in line or VISITOR in line] == []


def look_at_redis(seen: Round) -> None:
    keeper, visitor = str(seen.keeper.tenant.id), str(seen.visitor.tenant.id)
    rows = {value for resident in (seen.keeper, seen.visitor) for _, value in resident.all_ids} - {keeper, visitor}
    for command in seen.commands:
        named = {tenant for tenant in (keeper, visitor) if tenant in command}
        assert KEEPER not in command
        assert VISITOR not in command
        assert len(named) < 2, command
        if named:
            of_the_other = seen.visitor if keeper in named else seen.keeper
            assert not any(value in command for _, value in of_the_other.all_ids), command
        else:
            assert not any(value in command for value in rows), command
            assert SHARED.fullmatch(command), command
    assert {"rate:{tenant:" + tenant + "}" for tenant in (keeper, visitor)} <= {
        word for command in seen.commands for word in command.split()
    }
