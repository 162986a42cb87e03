"""Tests of which servers the settings lead to. They need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.services import HINT, EmbeddedServicesError, ServiceAddresses, open_services
from support.tokens import STRONG_SECRET

OUTSIDE = {"DATABASE_URL": "postgresql://owner:hunter2@db.example:6543/acme", "REDIS_URL": "redis://:hunter2@cache:1/2"}


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("IGNITE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def addresses_of(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> ServiceAddresses:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with open_services(load_settings(env_file=None)) as services:
        assert services.lease is None
        return services.addresses


class TestOutsideServers:
    def test_the_urls_are_taken_as_they_are_and_no_folder_is_made(
        self, monkeypatch: pytest.MonkeyPatch, own_folder: Path
    ) -> None:
        addresses = addresses_of(monkeypatch, OUTSIDE)
        assert addresses.owner_url.render_as_string(hide_password=False) == (
            "postgresql+asyncpg://owner:hunter2@db.example:6543/acme"
        )
        assert addresses.redis_url == OUTSIDE["REDIS_URL"]
        assert not own_folder.exists()

    def test_the_parts_lead_to_the_same_servers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parts = {
            "POSTGRES_HOST": "db.example",
            "POSTGRES_PORT": "6543",
            "POSTGRES_USER": "owner",
            "POSTGRES_PASSWORD": "p@ss/word",
            "POSTGRES_DB": "acme",
            "REDIS_HOST": "cache",
            "REDIS_PORT": "1",
            "REDIS_PASSWORD": "p@ss/word",
            "REDIS_DB": "2",
        }
        addresses = addresses_of(monkeypatch, parts)
        owner = addresses.owner_url
        assert (owner.host, owner.port, owner.username, owner.database) == ("db.example", 6543, "owner", "acme")
        assert owner.password == "p@ss/word"
        assert addresses.redis_url == "redis://:p%40ss%2Fword@cache:1/2"

    def test_a_url_beats_the_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = addresses_of(monkeypatch, OUTSIDE | {"POSTGRES_HOST": "other", "REDIS_HOST": "other"})
        assert addresses.owner_url.host == "db.example"
        assert addresses.redis_url == OUTSIDE["REDIS_URL"]

    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
    def test_the_url_of_a_hosting_service_works_as_given_out(
        self, monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        url = f"{scheme}://owner:hunter2@db.example/acme?sslmode=require"
        addresses = addresses_of(monkeypatch, OUTSIDE | {"DATABASE_URL": url})
        for address in (addresses.owner_url, addresses.api_url, addresses.worker_url):
            assert address.drivername == "postgresql+asyncpg"
            assert dict(address.query) == {"sslmode": "require"}

    @pytest.mark.parametrize(
        "url",
        ["hunter2", "db.example/acme", "mysql://owner:hunter2@db/acme", "postgresql://owner:hunter2@db:port/acme"],
    )
    def test_a_malformed_url_is_one_line_before_any_server_starts(
        self, monkeypatch: pytest.MonkeyPatch, own_folder: Path, url: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(ConfigurationError) as caught:
            open_services(load_settings(env_file=None))
        assert caught.value.detail == "DATABASE_URL: must be postgresql://user:password@host:port/database"
        assert not own_folder.exists()

    def test_a_failure_of_the_embedded_servers_says_which_settings_help(self, own_folder: Path) -> None:
        own_folder.touch()
        with pytest.raises(EmbeddedServicesError) as caught:
            open_services(load_settings(env_file=None))
        assert caught.value.detail.startswith(str(own_folder))
        assert caught.value.detail.endswith(HINT)
        assert "\n" not in caught.value.detail

    @pytest.mark.parametrize(
        ("parameters", "complaint"),
        [
            ("sslmode=hunter2", "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"),
            ("sslmode=disable&sslmode=require", "sslmode must be one of "),
            ("sslmode=require&channel_binding=require", "may have the parameters .*, but not channel_binding$"),
        ],
    )
    def test_a_parameter_that_nobody_would_heed_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, parameters: str, complaint: str
    ) -> None:
        url = f"postgresql://owner:secret@db.example/acme?{parameters}"
        with pytest.raises(ConfigurationError, match=f"^DATABASE_URL: {complaint}"):
            addresses_of(monkeypatch, OUTSIDE | {"DATABASE_URL": url})

    def test_tls_comes_from_the_url_or_else_from_the_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {"POSTGRES_SSLMODE": "require", "POSTGRES_SSLROOTCERT": "of/ours.pem"}
        addresses = addresses_of(monkeypatch, OUTSIDE | variables)
        for address in (addresses.owner_url, addresses.api_url, addresses.worker_url, addresses.admin_url):
            assert dict(address.query) == {"sslmode": "require", "sslrootcert": "of/ours.pem"}
        url = OUTSIDE["DATABASE_URL"] + "?sslmode=verify-full&sslrootcert=theirs.pem"
        addresses = addresses_of(monkeypatch, OUTSIDE | variables | {"DATABASE_URL": url})
        assert dict(addresses.owner_url.query) == {"sslmode": "verify-full", "sslrootcert": "theirs.pem"}
        pooled = {"POSTGRES_PGBOUNCER_HOST": "127.0.0.1", "POSTGRES_PGBOUNCER_SSLMODE": "disable"}
        addresses = addresses_of(monkeypatch, OUTSIDE | variables | pooled | {"DATABASE_URL": url})
        assert addresses.owner_url.query["sslmode"] == "verify-full"
        assert addresses.api_url.query["sslmode"] == addresses.worker_url.query["sslmode"] == "disable"

    def test_redis_by_its_parts_may_have_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {"REDIS_URL": "", "REDIS_HOST": "cache", "REDIS_PASSWORD": "p"}
        assert addresses_of(monkeypatch, OUTSIDE | variables).redis_url == "redis://:p@cache:6379/0"
        encrypted = variables | {"REDIS_TLS": "on"}
        assert addresses_of(monkeypatch, OUTSIDE | encrypted).redis_url == "rediss://:p@cache:6379/0"

    def test_the_logins_go_through_pgbouncer_and_the_owner_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        direct = addresses_of(monkeypatch, OUTSIDE)
        addresses = addresses_of(monkeypatch, {"POSTGRES_PGBOUNCER_HOST": "pooler", "POSTGRES_PGBOUNCER_PORT": "7000"})
        assert addresses.owner_url == direct.owner_url
        for before, after in ((direct.api_url, addresses.api_url), (direct.worker_url, addresses.worker_url)):
            assert (after.host, after.port) == ("pooler", 7000)
            assert (after.username, after.password, after.database) == (before.username, before.password, "acme")


class TestLogins:
    def test_passwords_are_derived_from_the_owners_alike_in_every_process(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = addresses_of(monkeypatch, OUTSIDE), addresses_of(monkeypatch, OUTSIDE)
        assert first.login_passwords == second.login_passwords
        passwords = {str(first.api_url.password), str(first.worker_url.password), str(first.owner_url.password)}
        assert len(passwords) == 3
        changed = OUTSIDE | {"DATABASE_URL": OUTSIDE["DATABASE_URL"].replace("hunter2", "hunter3")}
        assert addresses_of(monkeypatch, changed).login_passwords != first.login_passwords

    def test_passwords_of_their_own_win(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own = {
            "POSTGRES_API_PASSWORD": "of the api",
            "POSTGRES_WORKER_PASSWORD": "of the worker",
            "POSTGRES_ADMIN_PASSWORD": "of the admin",
        }
        addresses = addresses_of(monkeypatch, OUTSIDE | own)
        assert (addresses.api_url.username, addresses.api_url.password) == ("ignite_api", "of the api")
        assert (addresses.worker_url.username, addresses.worker_url.password) == ("ignite_worker", "of the worker")
        assert (addresses.admin_url.username, addresses.admin_url.password) == ("ignite_admin", "of the admin")

    def test_production_wants_passwords_where_there_is_none_to_derive_from(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        production = {
            "ENV": "production",
            "JWT_SECRET": STRONG_SECRET,
            "TENANT_SIGNUP": "open",
            "DATABASE_URL": "postgresql://owner@db.example/acme?sslmode=require",
            "REDIS_TLS": "off",
            "POSTGRES_API_PASSWORD": "of the api",
        }
        with pytest.raises(ConfigurationError, match=r"POSTGRES_API_PASSWORD, .* requires all"):
            addresses_of(monkeypatch, OUTSIDE | production)
        others = {"POSTGRES_WORKER_PASSWORD": "of the worker", "POSTGRES_ADMIN_PASSWORD": "of the admin"}
        addresses_of(monkeypatch, OUTSIDE | production | others)

    def test_addresses_print_without_passwords(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = addresses_of(monkeypatch, OUTSIDE)
        printed = repr(addresses) + repr(addresses.owner_url) + str(addresses.api_url)
        assert "hunter2" not in printed
        assert str(addresses.api_url.password) not in printed
