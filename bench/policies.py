"""Drops each policy once and runs the isolation tests, which must fail each time.

    python -m bench.policies [--tables files messages …]

Every run has servers and a database of its own. The tests that read the catalogue are left out: they would notice by
definition. (`tests/isolation/test_policies.py` does the same in seconds, with the probes those tests are made of.)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Generator

import pytest

from bench import ROOT
from bench.harness import bench_servers
from fastapi_ignite.infra.services import ServiceAddresses
from isolation.catalogue import owner_connection
from isolation.policies import Policy, policies_of
from support.databases import run

TESTS = ("tests/isolation/test_database.py", "tests/isolation/test_foreign_ids.py")
STATEMENT = "BENCH_POLICY_STATEMENT"
FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) \S*?::(\S+)", re.MULTILINE)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """In the test run, where this file is a plugin: the database is spoilt before any test sees it."""
    made = yield
    if isinstance(made, ServiceAddresses) and fixturedef.argname == "addresses":
        run(made.owner_url, os.environ[STATEMENT])
    return made


def noticed_by(statement: str) -> str | None:
    """The first test that fails, if one does.

    Raises:
        SystemExit: the run ended for another reason.
    """
    options = [
        "-n",
        "0",
        "-q",
        "-x",
        "-rfE",
        "--tb=no",
        "--show-capture=no",
        "-p",
        "bench.policies",
        "-p",
        "no:randomly",
        "--timeout=20",
    ]
    finished = subprocess.run(  # noqa: S603  our own tests
        [sys.executable, "-m", "pytest", *options, "-k", "not TheCatalogue", *TESTS],
        cwd=ROOT,
        env={**os.environ, STATEMENT: statement},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == pytest.ExitCode.OK:
        return None
    found = FIRST_FAILURE.search(finished.stdout)
    if finished.returncode != pytest.ExitCode.TESTS_FAILED or found is None:
        raise SystemExit(finished.stdout + finished.stderr)
    return found[1]


def list_policies() -> list[Policy]:
    async def read(addresses: ServiceAddresses) -> list[Policy]:
        async with owner_connection(addresses.owner_url) as connection:
            return await policies_of(connection)

    with bench_servers(durable=False) as (addresses, _):
        return asyncio.run(read(addresses))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", default=[], help="all when not given")
    options = parser.parse_args()
    if noticed_by("SELECT 1") is not None:
        raise SystemExit("the tests fail without any change")
    missed = 0
    for policy in list_policies():
        if options.tables and policy.table not in options.tables:
            continue
        noticed = noticed_by(policy.drop)
        missed += noticed is None
        print(f"{policy.drop:46} {noticed or 'NOT NOTICED'}", flush=True)
    raise SystemExit(f"{missed} policies are not missed" if missed else 0)


if __name__ == "__main__":
    main()
