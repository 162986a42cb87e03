"""Tests that every search finds exactly one version of a file, whatever swap it coincides with."""

from __future__ import annotations

import pytest

from fastapi_ignite.infra.db import Database
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import eventually, rows_of
from support.version_swaps import BY_MEANING, QUERY, found_by_question, search_beside_swaps

SWAPS = 20


@pytest.mark.usefixtures("worker")
async def test_each_search_finds_one_version_and_never_neither_or_both(tenant: TenantClient) -> None:
    seen = await search_beside_swaps(tenant, swaps=SWAPS, searchers=4, queries=(QUERY,))
    assert (seen.swaps, seen.faults) == (SWAPS, (0, 0, 0, 0))
    assert seen.searches > SWAPS


@pytest.mark.usefixtures("worker")
@of_the_local_engine
async def test_a_version_is_found_by_its_meaning_from_the_swap_on(tenant: TenantClient, database: Database) -> None:
    seen = await search_beside_swaps(tenant, swaps=5, searchers=2, queries=(BY_MEANING,))
    assert (seen.swaps, seen.faults) == (5, (0, 0, 0, 0))

    async def one_document_is_left() -> bool:
        rows = await rows_of(database, tenant.id, "SELECT text FROM documents WHERE text LIKE '%greenhouse%'")
        return len(rows) == 1

    await eventually(one_document_is_left)


@pytest.mark.usefixtures("worker")
@of_the_local_engine
async def test_each_answer_quotes_one_version(tenant: TenantClient) -> None:
    seen = await search_beside_swaps(tenant, swaps=SWAPS, searchers=4, queries=(QUERY,), find=found_by_question)
    assert (seen.swaps, seen.faults) == (SWAPS, (0, 0, 0, 0))
