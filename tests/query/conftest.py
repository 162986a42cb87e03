from __future__ import annotations

import pytest

from query.library import Library, fill
from support.both_engines import *  # noqa: F403  fixtures: every suite here runs on both engines
from support.http_clients import TenantClient, TenantFactory


@pytest.fixture
async def project(tenant: TenantClient, worker: None) -> str:
    """Make a project of the test's tenant that contains one fact."""
    del worker
    project_id = await tenant.create_project()
    upload = await tenant.upload(project_id, ("orchard.txt", b"The orchard keeps nine apple trees."))
    assert upload.json()["batch_status"] == "completed"
    return project_id


@pytest.fixture(scope="module")
async def library(make_tenant: TenantFactory, worker: None) -> Library:
    """Return a library that all tests of a module share; they must not change its files."""
    del worker
    return await fill(await make_tenant())
