"""Tests of the migrations: up and down, one deploy at a time, on our server and on an older outside server."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from fastapi_ignite.cli.schema_check import require_schema
from fastapi_ignite.core.config import PROJECT_ROOT, Settings, load_settings
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.db.schema_history import MERGED_REVISIONS
from fastapi_ignite.infra.services import ServiceAddresses, Services, open_services
from fastapi_ignite.rag.engine import Answer, DocumentSource, TokenUsage
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.local.engine import LocalEngine
from infra.postgres_16 import postgres_16
from support.command_line import CommandLine
from support.databases import fetch, insert_project, new_database, run
from support.interrupted_engines import answer_of

MIGRATION_LOCK = 4_846_210_137  # the key of the lock in alembic/env.py
# Lists everything in the schema that a migration makes.
SCHEMA = """
WITH ours AS (
    SELECT oid, relname, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity, reloptions FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S', 'v')
)
SELECT 'table', relname::text, concat_ws(' ', relkind, relacl, relrowsecurity, relforcerowsecurity, reloptions)
    FROM ours
UNION ALL SELECT 'column', concat_ws('.', relname, attname),
        concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attstorage, attcollation::regcollation, attacl,
            pg_get_expr(adbin, adrelid))
    FROM ours JOIN pg_attribute ON attrelid = ours.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', conname::text, concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours)
UNION ALL SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'policy', concat_ws('.', tablename, policyname), concat_ws(' ', roles, cmd, qual, with_check)
    FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', concat_ws('.', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
    FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours) AND NOT tgisinternal
UNION ALL SELECT 'function', proname::text, concat_ws(' ', proowner::regrole, proacl, pg_get_functiondef(oid))
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
ORDER BY 1, 2, 3
"""


@pytest.fixture
def empty(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a database without a schema."""
    with new_database(addresses) as own:
        yield own


@pytest.fixture
def migrated(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a new database at the newest migration."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture(scope="module")
def server() -> Iterator[URL]:
    """Run a PostgreSQL 16, and return the URL of its superuser."""
    with postgres_16() as superuser:
        yield superuser


@pytest.fixture(scope="module")
def owned(server: URL, addresses: ServiceAddresses) -> ServiceAddresses:
    """Return a migrated database of that server, given by DATABASE_URL. Its owner is no superuser."""
    superuser = server.set(drivername="postgresql+asyncpg")
    run(superuser, "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'of-the-deployer'")
    run(superuser, "CREATE DATABASE acme OWNER deployer")
    run(superuser.set(database="acme"), "CREATE EXTENSION vector")  # only a superuser may create it
    owner = server.set(username="deployer", password="of-the-deployer", database="acme")
    return migrate_outside(owner, addresses.redis_url)


def asyncpg_url(url: URL) -> str:
    """Return the URL with its password, as asyncpg takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class TestUpAndDown:
    def test_down_leaves_nothing_and_up_again_makes_the_same(self, empty: ServiceAddresses) -> None:
        migrations.upgrade(empty)
        first = run(empty.owner_url, SCHEMA)
        assert {"tenants", "chunks", "messages"} <= {name for kind, name, _ in first if kind == "table"}
        assert {("function", "search_lexical"), ("trigger", "audit_events.append_only")} <= {
            (kind, name) for kind, name, _ in first
        }
        run(
            empty.owner_url,
            "INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'Acme', 'hobby', 'monthly')",
            id=new_id(),
        )

        migrations.downgrade(empty, "base")
        assert {(kind, name) for kind, name, _ in run(empty.owner_url, SCHEMA)} <= {
            ("table", "alembic_version"),
            ("column", "alembic_version.version_num"),
            ("constraint", "alembic_version_pkc"),
            ("constraint", "alembic_version_version_num_not_null"),
            ("index", "alembic_version_pkc"),
        }
        assert asyncio.run(migrations.current(empty)) is None

        migrations.upgrade(empty)
        assert run(empty.owner_url, SCHEMA) == first
        assert run(empty.owner_url, "SELECT count(*) FROM tenants") == [(0,)]
        assert asyncio.run(migrations.current(empty)) == migrations.head()

    def test_each_step_can_be_taken_alone(self, empty: ServiceAddresses) -> None:
        migrations.upgrade(empty)
        steps = 0
        while asyncio.run(migrations.current(empty)) is not None:
            migrations.downgrade(empty, "-1")
            steps += 1
        for _ in range(steps):
            migrations.upgrade(empty, "+1")
        assert steps >= 3
        assert asyncio.run(migrations.current(empty)) == migrations.head()

    def test_the_seeded_plans_are_those_of_the_seed(self, migrated: ServiceAddresses) -> None:
        columns = "id, name, max_projects, monthly_message_cap, monthly_upload_char_cap, rate_limit_rpm"
        assert run(migrated.owner_url, f"SELECT {columns} FROM plans ORDER BY id") == [  # noqa: S608  the columns are fixed
            ("hobby", "Hobby", 3, 2_000, 500_000, None),
            ("pro", "Pro", 10, 20_000, 2_000_000, None),
        ]


class TestAgreement:
    def test_the_models_say_what_the_migrations_made(self, migrated: ServiceAddresses) -> None:
        migrations.check(migrated)
        run(migrated.owner_url, "ALTER TABLE files ADD COLUMN forgotten text")
        with pytest.raises(ConfigurationError, match="forgotten"):
            migrations.check(migrated)

    def test_an_unknown_revision_is_one_clear_line(self, empty: ServiceAddresses) -> None:
        with pytest.raises(ConfigurationError, match="'no-such-revision'"):
            migrations.upgrade(empty, "no-such-revision")

    def test_a_server_that_is_not_there_is_named(self, empty: ServiceAddresses) -> None:
        nowhere = replace(empty, owner_url=empty.owner_url.set(port=1))
        with pytest.raises(UnavailableError, match=r"^PostgreSQL at 127\.0\.0\.1:1 cannot be reached: "):
            migrations.upgrade(nowhere)


class TestNothingToMigrate:
    def test_alembic_and_all_models_are_not_loaded(self, migrated: ServiceAddresses, tmp_path: Path) -> None:
        program = """
import sys
from fastapi_ignite.cli import build_app
build_app("db")(["db", "migrate"], standalone_mode=False)
print(sorted({"alembic", "fastapi_ignite.models"} & set(sys.modules)))
"""
        environment = CommandLine.on_servers(tmp_path, migrated).environment
        found = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-c", program],
            env=environment | {"PYTHONPATH": str(PROJECT_ROOT / "src")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert found.stdout.splitlines() == [f"The schema is at revision {migrations.head()}.", "[]"], found.stderr


class TestNewerThanTheCode:
    """These tests cover an old process that starts during a rolling deploy."""

    @pytest.fixture
    def ahead(self, migrated: ServiceAddresses) -> ServiceAddresses:
        run(migrated.owner_url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
        return migrated

    def test_migrating_changes_nothing(self, ahead: ServiceAddresses, tmp_path: Path) -> None:
        commands = CommandLine.on_servers(tmp_path, ahead)
        assert commands.run("db", "migrate").succeeded() == "The schema is at revision of_tomorrow.\n"
        found = commands.run("doctor", RAG_EMBEDDER="none").findings()
        newest = migrations.head()
        assert found["database"] == f"ok at migration of_tomorrow, newer than the code, which is at {newest}"

    def test_every_process_starts_on_it(
        self, ahead: ServiceAddresses, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class OnDatabase(Services):
            addresses = ahead

        require_schema(OnDatabase(settings, None))
        assert "newer than the code" in capsys.readouterr().err

    def test_one_that_lacks_a_migration_stops_them(self, migrated: ServiceAddresses, settings: Settings) -> None:
        class OnDatabase(Services):
            addresses = migrated

        migrations.downgrade(migrated, "-1")
        with pytest.raises(ConfigurationError, match=r"Run 'python cli\.py db migrate'"):
            require_schema(OnDatabase(settings, None))


class TestParallelMigrations:
    async def test_two_upgrades_at_once_wait_for_each_other(self, empty: ServiceAddresses, tmp_path: Path) -> None:
        commands = CommandLine.on_servers(tmp_path, empty)
        holder = await asyncpg.connect(commands.environment["DATABASE_URL"])
        try:
            await holder.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
            with commands.start("db", "migrate") as first, _bare_alembic(commands, "upgrade", "head") as second:
                try:
                    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                    async with asyncio.timeout(60):
                        while await holder.fetchval(waiting) < 2:
                            assert (first.poll(), second.poll()) == (None, None)
                            await asyncio.sleep(0.05)
                    assert await holder.fetchval("SELECT to_regclass('alembic_version')") is None
                    await holder.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
                    outputs = [await asyncio.to_thread(each.communicate, None, 60) for each in (first, second)]
                finally:
                    first.kill()
                    second.kill()
        finally:
            await holder.close()
        assert (first.returncode, second.returncode) == (0, 0), outputs
        assert await migrations.current(empty) == migrations.head()
        assert len(await fetch(empty.owner_url, "SELECT * FROM plans")) == 2

    async def test_a_table_in_use_is_not_waited_for_long_and_stays_as_it_was(self, migrated: ServiceAddresses) -> None:
        uses_messages = "conversations"
        await asyncio.to_thread(migrations.downgrade, migrated, uses_messages)
        reader = await asyncpg.connect(asyncpg_url(migrated.owner_url))
        try:
            async with reader.transaction():
                await reader.fetch("SELECT * FROM messages")
                with pytest.raises(UnavailableError, match="lock timeout"):
                    async with asyncio.timeout(60):
                        await asyncio.to_thread(migrations.downgrade, migrated, "-1")
        finally:
            await reader.close()
        assert await migrations.current(migrated) == uses_messages
        assert await fetch(migrated.owner_url, "SELECT count(*) FROM messages") == [(0,)]


# the revision at which the merged migrations ended, which is the parent of the first later one
SCHEMA_LEFT = str(ScriptDirectory(str(PROJECT_ROOT / "alembic")).get_revision("structure_of_documents").down_revision)


class TestMergedMigrations:
    """These tests cover a database at one of the eighteen migrations from before the first release."""

    @pytest.fixture
    def merged(self, migrated: ServiceAddresses, tmp_path: Path) -> ServiceAddresses:
        commands = CommandLine.on_servers(tmp_path, migrated)
        with _bare_alembic(commands, "downgrade", SCHEMA_LEFT) as process:
            process.communicate(timeout=60)
        run(migrated.owner_url, "UPDATE alembic_version SET version_num = 'periodic_runs'")
        return migrated

    def test_no_migration_of_today_has_the_name_of_one_of_them(self) -> None:
        assert len(MERGED_REVISIONS) == 18
        assert MERGED_REVISIONS.isdisjoint(migrations.history().revisions)

    def test_migrating_says_what_to_do_and_a_reset_helps(self, merged: ServiceAddresses, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"run 'python cli\.py db reset'") as refused:
            migrations.upgrade(merged)
        commands = CommandLine.on_servers(tmp_path, merged)
        with _bare_alembic(commands, "upgrade", "head") as process:
            output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (255, f"FAILED: {refused.value.detail}\n")
        commands.run("db", "reset", "--yes").succeeded()
        assert asyncio.run(migrations.current(merged)) == migrations.head()

    def test_no_process_takes_it_for_one_that_newer_code_has_migrated(
        self, merged: ServiceAddresses, settings: Settings
    ) -> None:
        class OnDatabase(Services):
            addresses = merged

        with pytest.raises(ConfigurationError, match="from before the first release"):
            require_schema(OnDatabase(settings, None))
        assert migrations.history().state_of("periodic_runs") == "behind"  # so that it is not ready

    def test_its_data_can_be_kept(self, merged: ServiceAddresses, tmp_path: Path) -> None:
        """The test follows the steps of docs/operations.md."""
        with _bare_alembic(CommandLine.on_servers(tmp_path, merged), "stamp", "--purge", SCHEMA_LEFT) as process:
            process.communicate(timeout=60)
        assert process.returncode == 0
        migrations.upgrade(merged)
        migrations.check(merged)


def _bare_alembic(commands: CommandLine, *arguments: str) -> subprocess.Popen[str]:
    """Start `alembic` itself, without `cli.py`."""
    return subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
        [sys.executable, "-m", "alembic", "-c", str(PROJECT_ROOT / "alembic.ini"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=commands.folder,
        env=commands.environment,
    )


class TestOutsideServer:
    """These tests cover a PostgreSQL 16 whose schema belongs to a login that may create roles and is no superuser."""

    def test_it_is_a_16_and_its_owner_is_no_superuser(self, owned: ServiceAddresses) -> None:
        version = run(owned.owner_url, "SHOW server_version_num")[0][0]
        assert version.startswith("16")
        assert run(owned.owner_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
        migrations.check(owned)

    async def test_a_document_is_ingested_and_found(self, owned: ServiceAddresses) -> None:
        answer, quoted = await ask_about(owned, "The warranty of the pump ends after 24 months.", "pump warranty end")
        assert answer.answerable
        assert quoted == ["The warranty of the pump ends after 24 months."]

    async def test_the_api_login_reads_nothing_without_its_role(self, owned: ServiceAddresses) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            await fetch(owned.api_url, "SELECT * FROM documents")

    def test_files_of_earlier_versions_are_migrated(self, server: URL, owned: ServiceAddresses) -> None:
        """No policy admits the owner to the rows, which an UPDATE of a migration has to reach all the same."""
        superuser = server.set(drivername="postgresql+asyncpg", database="acme")
        ids = {"tenant": new_id(), "project": new_id(), "file": new_id()}
        migrations.downgrade(owned, "retention")
        for statement in (
            "INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:tenant, 'Acme', 'hobby', 'monthly')",
            "INSERT INTO projects (tenant_id, id, name) VALUES (:tenant, :project, 'Docs')",
            """INSERT INTO files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, state, notified_at,
                created_at)
            VALUES (:tenant, :file, :project, :project, 'a.txt', 1, '', 'failed', now(), '2024-01-01')""",
        ):
            run(superuser, statement, **{name: value for name, value in ids.items() if f":{name}" in statement})
        migrations.upgrade(owned)
        times = "SELECT queued_at = created_at, uploaded_at = created_at, version FROM files WHERE id = :file"
        assert run(superuser, times, file=ids["file"]) == [(True, True, 1)]
        run(superuser, "DELETE FROM files WHERE id = :file", file=ids["file"])

    def test_the_owner_can_empty_it_and_take_it_down(self, owned: ServiceAddresses, tmp_path: Path) -> None:
        before = run(owned.owner_url, SCHEMA)
        commands = CommandLine.on_servers(tmp_path, owned)
        assert "empty and migrated" in commands.run("db", "reset", "--yes").succeeded()
        assert run(owned.owner_url, SCHEMA) == before
        migrations.downgrade(owned, "base")
        migrations.upgrade(owned)
        assert run(owned.owner_url, SCHEMA) == before

    def test_a_second_database_shares_the_roles(
        self, server: URL, owned: ServiceAddresses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, login in (("API", "ignite_api"), ("WORKER", "ignite_worker"), ("ADMIN", "ignite_admin")):
            monkeypatch.setenv(f"POSTGRES_{name}_PASSWORD", owned.login_passwords[login])
        second = migrate_outside(server, owned.redis_url)
        answer, _ = asyncio.run(ask_about(second, "The key lies under the mat at the door.", "key under which mat"))
        assert answer.answerable

    async def test_a_migration_changes_rows_of_tenants(
        self, owned: ServiceAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its own rights, the owner sees no row of a table of tenants."""
        database = Database(owned.worker_url, pool_size=1)
        tenant_id = new_id()
        values = {"tenant": tenant_id, "project": new_id()}
        head, names = migrations.head(), "SELECT name FROM projects WHERE tenant_id = :tenant"
        try:
            async with database.system() as session:
                for statement in PROJECT_OF_A_TENANT:
                    await session.execute(text(statement), values)
            assert await fetch(owned.owner_url, names, tenant=tenant_id) == []
            with monkeypatch.context() as patch:
                _add_migration(tmp_path, patch, CAPITALS.format(head=head))
                await asyncio.to_thread(migrations.upgrade, owned)
                assert await fetch(owned.owner_url, names, tenant=tenant_id) == []
                async with database.system() as session:
                    assert (await session.scalars(text(names), {"tenant": tenant_id})).all() == ["DOCS"]
                await asyncio.to_thread(migrations.downgrade, owned, head)
        finally:
            await database.close()


class TestTwoInstallations:
    """These tests cover a second installation, with another password, on a server whose logins belong to `acme`."""

    @pytest.fixture
    def beta(self, server: URL) -> Iterator[URL]:
        """Return the URL of the empty database of the second installation."""
        superuser = server.set(drivername="postgresql+asyncpg")
        run(superuser, "CREATE DATABASE beta")
        yield server.set(database="beta")
        run(superuser, "DROP DATABASE beta WITH (FORCE)")
        run(superuser, "DROP ROLE IF EXISTS beta_api, beta_worker, beta_admin")

    @staticmethod
    def marks(addresses: ServiceAddresses) -> set[str]:
        statement = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY(:logins)"
        comments = run(addresses.owner_url, statement, logins=list(addresses.login_passwords))
        return {str(comment).rpartition(" ")[2] for (comment,) in comments}

    async def test_its_logins_are_refused_to_another_before_anything_changes(
        self, owned: ServiceAddresses, beta: URL
    ) -> None:
        with pytest.raises(ConfigurationError) as refused:
            await asyncio.to_thread(migrate_outside, beta, owned.redis_url)
        assert refused.value.detail.startswith(
            "The login ignite_api belongs to the database acme, with another password."
        )
        assert "POSTGRES_LOGIN_PREFIX" in refused.value.detail
        for url in (owned.api_url, owned.worker_url, owned.admin_url):
            assert await fetch(url, "SELECT 1") == [(1,)]
        schema = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert await fetch(beta.set(drivername="postgresql+asyncpg"), schema) == [(0,)]

    async def test_with_a_prefix_of_its_own_both_work(
        self, owned: ServiceAddresses, beta: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POSTGRES_LOGIN_PREFIX", "beta")
        other = await asyncio.to_thread(migrate_outside, beta, owned.redis_url)
        assert [url.username for url in (other.api_url, other.worker_url, other.admin_url)] == [
            "beta_api",
            "beta_worker",
            "beta_admin",
        ]
        for url in (owned.api_url, other.api_url, other.admin_url):
            assert await fetch(url, "SELECT 1") == [(1,)]
        for addresses in (owned, other):
            answer, _ = await ask_about(addresses, "The lamp over the gate is blue.", "lamp over the gate")
            assert answer.answerable
        assert await fetch(
            other.owner_url,
            "SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members "
            "WHERE member::regrole::text LIKE 'beta_%' ORDER BY 1, 2",
        ) == [
            ("beta_admin", "ignite_operator"),
            ("beta_api", "ignite_tenant"),
            ("beta_worker", "ignite_system"),
            ("beta_worker", "ignite_tenant"),
        ]

    def test_logins_from_before_the_marks_stay_with_the_database_that_was_migrated(
        self, owned: ServiceAddresses, beta: URL
    ) -> None:
        for login in owned.login_passwords:
            run(owned.owner_url, f"COMMENT ON ROLE {login} IS NULL")
        with pytest.raises(ConfigurationError, match="The login ignite_api belongs to something else on this server"):
            migrate_outside(beta, owned.redis_url)
        migrate_outside(owned.owner_url, owned.redis_url)
        assert self.marks(owned) == {"acme"}
        assert run(owned.api_url, "SELECT 1") == [(1,)]

    def test_the_mark_of_a_database_that_is_gone_binds_nobody(self, owned: ServiceAddresses) -> None:
        for login in owned.login_passwords:
            run(owned.owner_url, f"COMMENT ON ROLE {login} IS 'FastAPI-Ignite: login of the database gone'")
        migrate_outside(owned.owner_url, owned.redis_url)
        assert self.marks(owned) == {"acme"}


PROJECT_OF_A_TENANT = (
    "INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:tenant, 'Acme', 'hobby', 'monthly')",
    "INSERT INTO projects (tenant_id, id, name) VALUES (:tenant, :project, 'Docs')",
)
# DEVELOPER-GUIDE.md says that a migration changes rows of tenants in this way.
CAPITALS = """
from alembic import op

revision = "capitals"
down_revision = "{head}"


def upgrade():
    op.execute("ALTER TABLE projects NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE projects SET name = upper(name)")
    op.execute("ALTER TABLE projects FORCE ROW LEVEL SECURITY")


def downgrade():
    pass
"""


def _add_migration(folder: Path, patch: pytest.MonkeyPatch, content: str) -> None:
    """Make `migrations` read a copy of the project's migrations with this one added."""
    shutil.copy(PROJECT_ROOT / "alembic.ini", folder)
    shutil.copytree(PROJECT_ROOT / "alembic", folder / "alembic")
    versions = folder / "alembic" / "versions"
    (versions / "added.py").write_text(content)
    patch.setattr(migrations, "PROJECT_ROOT", folder)
    patch.setattr(migrations, "_VERSIONS", versions)


def migrate_outside(owner: URL, redis_url: str) -> ServiceAddresses:
    """Migrate as `cli.py db migrate` does, and return the addresses."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", asyncpg_url(owner))
        environment.setenv("REDIS_URL", redis_url)
        with open_services(load_settings(env_file=None)) as services:
            assert services.lease is None
            migrations.upgrade(services.addresses)
            return services.addresses


async def ask_about(addresses: ServiceAddresses, document: str, question: str) -> tuple[Answer, list[str]]:
    """Return the answer from a new project with this one document, and the quotes of the answer."""
    database = Database(addresses.worker_url, pool_size=2)
    engine = LocalEngine(database, embedder="none")
    try:
        tenant_id, project_id = await insert_project(database)
        await engine.create_index(tenant_id, project_id)
        digest = hashlib.sha256(document.encode()).digest()
        extracted = ExtractedText(document, None, "text/plain")
        prepared = await engine.prepare(DocumentSource(tenant_id, project_id, new_id(), digest, extracted))
        async with database.tenant(tenant_id) as session:
            await prepared.write(session)
        answer = await answer_of(engine.ask(tenant_id, project_id, question, TokenUsage()))
        return answer, [citation.quote for citation in answer.citations]
    finally:
        await database.close()
