"""Tests of `cli.py db`, which creates, migrates and empties a database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine
from support.databases import new_database, run
from support.tokens import STRONG_SECRET

NOWHERE = "redis://127.0.0.1:1/0"


class TestInitAndMigrate:
    def test_init_makes_what_is_missing_and_may_be_repeated(self, folder: Path, empty: ServiceAddresses) -> None:
        name = f'own "{new_id().hex}"'
        wanted = replace(empty, owner_url=empty.owner_url.set(database=name))
        commands = CommandLine.on_servers(folder, wanted)
        try:
            first = commands.run("db", "init").succeeded()
            assert first == f"Created the database {name}.\nThe schema is at revision {migrations.head()}.\n"
            assert commands.run("db", "init").succeeded() == first.splitlines(keepends=True)[1]
            assert asyncio.run(migrations.current(wanted)) == migrations.head()
        finally:
            run(empty.owner_url, f'DROP DATABASE "{name.replace(chr(34), chr(34) * 2)}" WITH (FORCE)')

    def test_migrate_goes_as_far_as_told(self, folder: Path, empty: ServiceAddresses) -> None:
        commands = CommandLine.on_servers(folder, empty)
        assert (
            commands.run("db", "migrate", "tenants_and_projects").succeeded()
            == "The schema is at revision tenants_and_projects.\n"
        )
        assert commands.run("db", "migrate").succeeded() == f"The schema is at revision {migrations.head()}.\n"
        assert "'no-such-one'" in commands.run("db", "migrate", "no-such-one").refused_with()

    @pytest.mark.parametrize("command", [("db", "migrate"), ("worker",), ("api", "--port", "1")])
    def test_a_server_that_is_not_there_is_one_clear_line(
        self, commands: CommandLine, command: tuple[str, ...]
    ) -> None:
        url = "postgresql://owner:hunter2@127.0.0.1:1/acme"
        refused = commands.run(*command, DATABASE_URL=url).refused_with()
        assert refused.startswith("PostgreSQL at 127.0.0.1:1 cannot be reached: ")
        assert "hunter2" not in refused

    @pytest.mark.parametrize("command", [("db", "migrate"), ("plans", "list")])
    def test_a_server_that_refuses_is_one_clear_line(self, commands: CommandLine, command: tuple[str, ...]) -> None:
        head, _, server = commands.environment["DATABASE_URL"].rpartition("@")
        user = head.rpartition("/")[2].partition(":")[0]
        refused = commands.run(*command, DATABASE_URL=f"postgresql://{user}:hunter2@{server}").refused_with()
        place = server.partition("/")[0]
        assert refused == f'PostgreSQL at {place} cannot be used: password authentication failed for user "{user}"'


class TestReset:
    @pytest.fixture
    def filled(self, addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
        """Return a database with one tenant and a changed plan."""
        with new_database(addresses, template="template_migrated") as own:
            run(
                own.owner_url,
                "INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'Acme', 'hobby', 'monthly')",
                id=new_id(),
            )
            run(own.owner_url, "UPDATE plans SET max_projects = 99")
            yield own

    @staticmethod
    def contents(addresses: ServiceAddresses) -> tuple[int, int]:
        """Return the number of tenants, and the number of projects that the hobby plan allows."""
        columns = "(SELECT count(*) FROM tenants), (SELECT max_projects FROM plans WHERE id = 'hobby')"
        tenants, projects = run(addresses.owner_url, f"SELECT {columns}")[0]
        return tenants, projects

    def test_it_empties_tables_storage_and_queues(self, folder: Path, filled: ServiceAddresses) -> None:
        commands = CommandLine.on_servers(folder, filled)
        stored = commands.data_dir / "storage" / "tenant" / "file"
        stored.parent.mkdir(parents=True)
        stored.write_bytes(b"uploaded")
        with Redis.from_url(commands.environment["REDIS_URL"]) as redis:
            redis.set("queued", "message")
            commands.run("db", "reset", "--yes").succeeded()
            assert redis.dbsize() == 0
        assert self.contents(filled) == (0, 3)
        assert not stored.exists()
        assert asyncio.run(migrations.current(filled)) == migrations.head()

    def test_without_consent_nothing_changes(self, folder: Path, filled: ServiceAddresses) -> None:
        commands = CommandLine.on_servers(folder, filled)
        for answer in ("n\n", "\n", ""):
            assert commands.run("db", "reset", stdin=answer).code == 1
        assert self.contents(filled) == (1, 99)
        commands.run("db", "reset", stdin="y\n").succeeded()
        assert self.contents(filled) == (0, 3)

    def test_production_refuses_it(self, folder: Path, filled: ServiceAddresses) -> None:
        commands = CommandLine.on_servers(folder, filled)
        production = {"ENV": "production", "JWT_SECRET": STRONG_SECRET, "TENANT_SIGNUP": "open"}
        refused = commands.run("db", "reset", "--yes", **production).refused_with()
        assert refused == "db reset is refused when ENV=production."
        assert self.contents(filled) == (1, 99)

    def test_nothing_is_dropped_where_not_everything_can_be(self, folder: Path, filled: ServiceAddresses) -> None:
        commands = CommandLine.on_servers(folder, filled)
        assert "127.0.0.1:1" in commands.run("db", "reset", "--yes", REDIS_URL=NOWHERE).refused_with()
        assert self.contents(filled) == (1, 99)


def test_check_leaves_the_configured_database_alone(folder: Path, empty: ServiceAddresses) -> None:
    CommandLine.on_servers(folder, empty).run("db", "check").succeeded()
    assert run(empty.owner_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]
