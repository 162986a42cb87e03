"""Tests of settings that come from the environment and from `.env`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from typing import ClassVar

import pytest

from fastapi_ignite.core.config import Settings, default_settings, load_settings, sections, variable_name
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.production_checks import plaintext_warnings
from support.tokens import OTHER_STRONG_SECRET, STRONG_SECRET

PRODUCTION = {
    "ENV": "production",
    "JWT_SECRET": STRONG_SECRET,
    "BACKEND_CORS_ORIGINS": "https://app.example.com",
}
VARIABLES = [variable_name(section, field) for section in sections().values() for field in section.model_fields]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(VARIABLES) & set(os.environ):
        monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], env_file: Path | None = None) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(env_file=env_file)


def error_lines(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(monkeypatch, variables)
    return caught.value.detail.splitlines()


class TestNames:
    @pytest.mark.parametrize(
        ("name", "value", "place", "expected"),
        [
            ("ENV", "test", "app.env", "test"),
            ("DEBUG", "true", "app.debug", True),
            ("LOG_LEVEL", "WARNING", "app.log_level", "WARNING"),
            ("PROJECT_NAME", "Acme", "app.project_name", "Acme"),
            ("PROJECT_DESCRIPTION", "Ours", "app.project_description", "Ours"),
            ("VERSION", "2.1.0", "app.version", "2.1.0"),
            ("API_PREFIX", "/service", "app.api_prefix", "/service"),
            ("HOST", "::1", "app.host", "::1"),
            ("PORT", "8080", "app.port", 8080),
            ("BACKEND_CORS_ORIGINS", "https://a.example", "cors.origins", ("https://a.example",)),
            ("POSTGRES_HOST", "db", "postgres.host", "db"),
            ("POSTGRES_PORT", "6543", "postgres.port", 6543),
            ("POSTGRES_USER", "owner", "postgres.user", "owner"),
            ("POSTGRES_DB", "acme", "postgres.db", "acme"),
            ("REDIS_HOST", "cache", "redis.host", "cache"),
            ("REDIS_PORT", "6380", "redis.port", 6380),
            ("REDIS_DB", "3", "redis.db", 3),
            ("DRAMATIQ_BROKER", "redis", "dramatiq.broker", "redis"),
            ("DRAMATIQ_PROCESSES", "2", "dramatiq.processes", 2),
            ("DRAMATIQ_THREADS", "8", "dramatiq.threads", 8),
            ("CACHE_BACKEND_TYPE", "memory", "cache.backend_type", "memory"),
            ("CACHE_TTL_SECONDS", "60", "cache.ttl_seconds", 60),
            ("CACHE_FILE_PATH", "cached", "cache.file_path", Path("cached")),
            ("SCHEDULER_ENABLED", "false", "scheduler.enabled", False),
            ("RATE_LIMIT_RPM", "600", "rate_limit.rpm", 600),
            ("RATE_LIMIT_COSTS", "ask=5, start_export=20", "rate_limit.costs", {"ask": 5, "start_export": 20}),
        ],
    )
    def test_a_variable_of_the_seed_is_read(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, place: str, expected: object
    ) -> None:
        found = attrgetter(place)
        assert found(load_settings(env_file=None)) != expected or name == "DRAMATIQ_BROKER"
        assert found(load(monkeypatch, {name: value})) == expected

    @pytest.mark.parametrize(
        ("name", "place"),
        [
            ("POSTGRES_PASSWORD", "postgres.password"),
            ("REDIS_PASSWORD", "redis.password"),
            ("JWT_SECRET", "jwt.secret"),
        ],
    )
    def test_a_secret_of_the_seed_is_read(self, monkeypatch: pytest.MonkeyPatch, name: str, place: str) -> None:
        settings = load(monkeypatch, {name: "something-else"})
        assert attrgetter(place)(settings).get_secret_value() == "something-else"

    def test_the_defaults_of_the_seed_hold(self) -> None:
        settings = load_settings(env_file=None)
        assert (settings.app.project_name, settings.app.version) == ("FastAPI-Ignite", "0.1.0")
        assert (settings.app.api_prefix, settings.app.port) == ("/api", 8000)
        assert settings.jwt.secret.get_secret_value() == "change-me"
        assert settings.rate_limit.rpm == 120
        assert (settings.cache.backend_type, settings.cache.ttl_seconds) == ("redis", 300)

    def test_every_setting_has_a_name_of_its_own_and_a_description(self) -> None:
        assert len(set(VARIABLES)) == len(VARIABLES)
        for section in sections().values():
            assert all(field.description for field in section.model_fields.values()), section


class TestSources:
    def test_the_environment_beats_the_file_and_the_file_beats_the_default(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        env_file = tmp_path / ".env"
        env_file.write_text("PORT=1111\nPROJECT_NAME='From the file'  # a comment\nSOMEBODY_ELSES=1\n")
        settings = load(monkeypatch, {"PORT": "2222"}, env_file)
        assert (settings.app.port, settings.app.project_name) == (2222, "From the file")
        assert settings.app.version == "0.1.0"

    def test_no_file_and_empty_values_leave_the_defaults(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        settings = load(monkeypatch, {"PORT": "", "POSTGRES_HOST": "", "JWT_SECRET": ""}, tmp_path / "missing")
        assert settings == default_settings()

    @pytest.mark.parametrize("name", ["ANSWER_MODEL", "ANSWER_BASE_URL"])
    def test_a_model_and_its_server_are_named_together(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        together = "ANSWER_BASE_URL: ANSWER_MODEL and ANSWER_BASE_URL must be set together, or neither"
        assert error_lines(monkeypatch, {name: "http://localhost:11434/v1"}) == [together]

    def test_a_file_that_is_not_utf_8_is_one_clear_line(self, tmp_path: Path) -> None:
        env_file = tmp_path / ".env"
        env_file.write_bytes("PROJECT_NAME=Café\n".encode("latin-1"))
        with pytest.raises(ConfigurationError, match=r"^\S*\.env: must be UTF-8 text$"):
            load_settings(env_file=env_file)

    def test_the_defaults_are_not_touched_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = default_settings()
        assert load(monkeypatch, {"PORT": "2222", "DATABASE_URL": "postgresql://elsewhere/db"}) != before
        assert default_settings() == before


class TestWrongValues:
    @pytest.mark.parametrize(
        ("name", "value", "takes"),
        [
            ("ENV", "prod-hunter2", "'development', 'test' or 'production'"),
            ("DEBUG", "hunter2", "boolean"),
            ("LOG_LEVEL", "hunter2", "'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
            ("API_PREFIX", "hunter2", "match pattern"),
            ("PORT", "hunter2", "integer"),
            ("PORT", "65536", "less than or equal to 65535"),
            ("PORT", "0", "greater than or equal to 1"),
            ("REDIS_DB", "16", "less than or equal to 15"),
            ("REDIS_URL", "hunter2", "must be redis://"),
            ("REDIS_URL", "http://:hunter2@cache:6379/0", "must be redis://"),
            ("REDIS_URL", "redis://:hunter2@cache:port/0", "must be redis://"),
            ("POSTGRES_PORT", "hunter2", "integer"),
            ("DRAMATIQ_BROKER", "hunter2", "'redis'"),
            ("CACHE_BACKEND_TYPE", "hunter2", "'redis', 'file' or 'memory'"),
            ("CACHE_TTL_SECONDS", "-5", "greater than or equal to 1"),
            ("SCHEDULER_ENABLED", "hunter2", "boolean"),
            ("RATE_LIMIT_RPM", "0", "greater than or equal to 1"),
            ("RATE_LIMIT_RPM", "1000000001", "less than or equal to 1000000000"),
            ("RATE_LIMIT_ANONYMOUS_RPM", "hunter2", "integer"),
            ("JWT_AUDIENCE", " , ", "at least one name"),
            ("JWT_REQUIRED_CLAIMS", " , ", "at least one name"),
            ("JWT_MAX_LIFETIME_SECONDS", "59", "greater than or equal to 60"),
            ("JWT_MAX_LIFETIME_SECONDS", "hunter2", "integer"),
            ("POSTGRES_SSLMODE", "hunter2", "'disable', 'prefer', 'require', 'verify-ca' or 'verify-full'"),
            ("REDIS_TLS", "hunter2", "'on' or 'off'"),
            ("RATE_LIMIT_COSTS", "question", "like ask=5"),
            ("RATE_LIMIT_COSTS", "ask=0", "like ask=5"),
            ("RATE_LIMIT_COSTS", "ask=5;upload=2", "like ask=5"),
            ("RATE_LIMIT_COSTS", "ask=10000", "like ask=5"),
            ("RAG_EMBEDDER", "hunter2", "'minilm'"),
            ("EMBEDDING_BASE_URL", "hunter2:8080/v1", "match pattern"),
            ("EMBEDDING_MODEL", "hunter2 and more", "match pattern"),
            ("EMBEDDING_DIMENSIONS", "4001", "less than or equal to 4000"),
            ("UPLOAD_MAX_FILES", "2001", "less than or equal to 2000"),
            ("TENANT_SIGNUP", "hunter2", "'open' or 'admin'"),
            ("BACKEND_CORS_ORIGINS", '["https://hunter2"', "comma-separated or as a JSON list"),
            ("BACKEND_CORS_ORIGINS", '["https://hunter2", 7]', "comma-separated or as a JSON list"),
            ("BACKEND_CORS_ORIGINS", '{"hunter2": 1}', "comma-separated or as a JSON list"),
            ("BACKEND_CORS_ORIGINS", "hunter2.example", "comma-separated or as a JSON list"),
            ("BACKEND_CORS_ORIGINS", "https://hunter2.example/path", "comma-separated or as a JSON list"),
        ],
    )
    def test_one_line_names_the_variable_and_what_it_takes_but_not_the_value(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, takes: str
    ) -> None:
        (line,) = error_lines(monkeypatch, {name: value})
        assert line.startswith(f"{name}: ")
        assert takes in line
        assert value not in line
        assert "hunter2" not in line

    def test_all_wrong_variables_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = error_lines(monkeypatch, {"PORT": "a", "REDIS_DB": "b", "BACKEND_CORS_ORIGINS": "["})
        assert [line.split(":")[0] for line in lines] == ["PORT", "BACKEND_CORS_ORIGINS", "REDIS_DB"]


class TestLists:
    @pytest.mark.parametrize(
        "value",
        [
            "https://a.example,http://localhost:3000",
            " https://a.example/ , http://localhost:3000 ,",
            '["https://a.example", "http://localhost:3000/"]',
        ],
    )
    def test_origins_come_by_comma_or_as_json(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        settings = load(monkeypatch, {"BACKEND_CORS_ORIGINS": value})
        assert settings.cors.origins == ("https://a.example", "http://localhost:3000")

    @pytest.mark.parametrize(("value", "expected"), [("*", ("*",)), ('["*"]', ("*",)), ("[]", ()), (" ", ())])
    def test_all_origins_or_none(self, monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[str, ...]) -> None:
        assert load(monkeypatch, {"BACKEND_CORS_ORIGINS": value}).cors.origins == expected


class TestProduction:
    def test_a_sound_configuration_is_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(monkeypatch, PRODUCTION)
        assert settings.app.production
        assert not settings.app.signup_open

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("JWT_SECRET", "change-me"),
            ("JWT_SECRET", "j" * 31),
            ("JWT_SECRET", "a" * 32),
            ("JWT_SECRET", "ab" * 24),
            ("JWT_SECRET", "\u0436" * 16),
            ("JWT_SECRET", "k3Xw9-" * 8),
            ("JWT_SECRET", "change-me-please-change-me-please-now"),
            ("JWT_SECRET", "your-256-bit-value-for-the-tokens-of-it"),
            ("JWT_SECRET", "a-string-secret-at-least-256-bits-long"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("JWT_SECRET", OTHER_STRONG_SECRET + "MyPassWord"),
            ("API_KEY_SECRET", "a" * 32),
            ("DEBUG", "true"),
            ("TRUSTED_PROXIES", "0.0.0.0/0"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,::/0"),
            ("TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1"),
            ("TRUSTED_PROXIES", "4.0.0.0/8,6.0.0.0/8"),
            ("TRUSTED_PROXIES", "8.0.0.0/7"),
            ("TRUSTED_PROXIES", "::ffff:0:0/96"),
            ("TRUSTED_PROXIES", "2000::/3"),
            ("BACKEND_CORS_ORIGINS", "*"),
            ("BACKEND_CORS_ORIGINS", '["https://app.example.com", "*"]'),
            ("API_KEY_SECRET", "a" * 31),
        ],
    )
    def test_each_guard_alone_refuses(self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
        (line,) = error_lines(monkeypatch, PRODUCTION | {variable: value})
        assert line.startswith(f"{variable}: production requires ")
        assert len(value) < 2 or value not in line

    def test_all_broken_guards_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = error_lines(monkeypatch, {"ENV": "production", "BACKEND_CORS_ORIGINS": "*"})
        assert [line.split(":")[0] for line in lines] == ["JWT_SECRET", "BACKEND_CORS_ORIGINS"]

    @pytest.mark.parametrize("make", [token_urlsafe, token_hex, lambda size: token_bytes(size).hex(":")])
    def test_a_random_secret_is_good_enough(self, monkeypatch: pytest.MonkeyPatch, make: Callable[[int], str]) -> None:
        for _ in range(20):
            assert load(monkeypatch, PRODUCTION | {"JWT_SECRET": make(32)}).app.production

    def test_it_says_how_to_make_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (line,) = error_lines(monkeypatch, PRODUCTION | {"JWT_SECRET": "a" * 32})
        command = line.partition("generate one with: ")[2]
        assert command.startswith("python -c '")
        made = subprocess.check_output([sys.executable, "-c", shlex.split(command)[2]], text=True).strip()  # noqa: S603  runs the command of our own message
        assert load(monkeypatch, PRODUCTION | {"JWT_SECRET": made}).app.production

    @pytest.mark.parametrize(
        "proxies",
        [
            "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
            "104.16.0.0/13,172.64.0.0/13,2400:cb00::/32",
            "203.0.113.7",
        ],
        ids=["private", "a content network", "one"],
    )
    def test_proxies_of_ones_own_or_of_a_content_network_are_trusted(
        self, monkeypatch: pytest.MonkeyPatch, proxies: str
    ) -> None:
        assert load(monkeypatch, PRODUCTION | {"TRUSTED_PROXIES": proxies}).app.trusted_proxies

    @pytest.mark.parametrize(
        ("variables", "second", "first"),
        [
            ({"API_KEY_SECRET": STRONG_SECRET}, "API_KEY_SECRET", "JWT_SECRET"),
            ({"POSTGRES_PASSWORD": STRONG_SECRET}, "POSTGRES_PASSWORD", "JWT_SECRET"),
            ({"POSTGRES_PASSWORD": "p", "POSTGRES_API_PASSWORD": "p"}, "POSTGRES_API_PASSWORD", "POSTGRES_PASSWORD"),
            ({"DATABASE_URL": "postgresql://o:a%40b@/a", "REDIS_PASSWORD": "a@b"}, "DATABASE_URL", "REDIS_PASSWORD"),
            ({"REDIS_URL": f"redis://:{STRONG_SECRET}@localhost/0"}, "REDIS_URL", "JWT_SECRET"),
        ],
    )  # fmt: skip
    def test_no_secret_is_used_twice(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], second: str, first: str
    ) -> None:
        (line,) = error_lines(monkeypatch, PRODUCTION | variables)
        assert line == f"{second}: production requires a secret of its own, but this is the same as {first}"

    def test_signup_is_opened_on_purpose_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert load(monkeypatch, PRODUCTION | {"TENANT_SIGNUP": "open"}).app.signup_open

    def test_behind_an_identity_provider_other_things_are_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = error_lines(monkeypatch, PRODUCTION | {"JWT_SECRET": "change-me", "JWT_JWKS_URL": "http://idp/keys"})
        assert [line.split(":")[0] for line in lines] == [
            "JWT_JWKS_URL",
            "JWT_ISSUER",
            "JWT_AUDIENCE",
            "API_KEY_SECRET",
        ]
        provided = {
            "JWT_JWKS_URL": "https://idp.example.com/keys",
            "JWT_ISSUER": "https://idp.example.com/",
            "JWT_AUDIENCE": "fastapi-ignite",
        }
        settings = load(monkeypatch, PRODUCTION | provided | {"JWT_SECRET": "", "API_KEY_SECRET": OTHER_STRONG_SECRET})
        assert settings.jwt.jwks_url

    @pytest.mark.parametrize(
        ("guarded", "value"),
        [
            ("JWT_SECRET", "*"),
            ("API_KEY_SECRET", "*"),
            ("BACKEND_CORS_ORIGINS", "*"),
            ("DEBUG", "true"),
            ("TRUSTED_PROXIES", "0.0.0.0/0"),
            ("POSTGRES_HOST", "db"),
            ("REDIS_HOST", "cache"),
        ],
    )
    def test_development_has_none_of_the_guards(
        self, monkeypatch: pytest.MonkeyPatch, guarded: str, value: str
    ) -> None:
        load(monkeypatch, {"ENV": "development", guarded: value})


class TestServersOverANetwork:
    """These tests check that production needs TLS to servers over a network, or a setting that switches it off."""

    @pytest.mark.parametrize(
        ("variables", "refused"),
        [
            ({"POSTGRES_HOST": "db"}, ["POSTGRES_SSLMODE"]),
            ({"POSTGRES_HOST": "10.0.0.5", "POSTGRES_SSLMODE": "prefer"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@db.example/a"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@db.example/a?sslmode=allow"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p#s@db.example/a"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@localhost,db.example/a"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@localhost/a?host=db.example"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@/a?host=db.example&host=localhost"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@[::1/a"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "nonsense"}, ["POSTGRES_SSLMODE"]),
            ({"DATABASE_URL": "postgresql://o:p@/a?host=localhost:5433&host=127.0.0.1:5434"}, []),
            ({"DATABASE_URL": "postgresql://o:p@[2001:db8::1]:5432/a"}, ["POSTGRES_SSLMODE"]),
            ({"POSTGRES_PGBOUNCER_HOST": "pooler"}, ["POSTGRES_PGBOUNCER_SSLMODE"]),
            (
                {"POSTGRES_HOST": "db", "POSTGRES_SSLMODE": "require", "POSTGRES_PGBOUNCER_HOST": "pooler"},
                [],
            ),
            ({"POSTGRES_HOST": "db", "POSTGRES_SSLMODE": "verify-full"}, []),
            ({"POSTGRES_HOST": "db", "POSTGRES_SSLMODE": "disable"}, []),
            ({"DATABASE_URL": "postgresql://o:p#s@db.example/a?sslmode=verify-ca"}, []),
            ({"DATABASE_URL": "postgresql://o:p@db.example/a?ssl=require"}, []),
            ({"DATABASE_URL": "postgresql://o:p@db.example/a", "POSTGRES_SSLMODE": "require"}, []),
            (
                {"DATABASE_URL": "postgresql://o:p@db.example/a?sslmode=prefer", "POSTGRES_SSLMODE": "require"},
                ["POSTGRES_SSLMODE"],
            ),
            ({"DATABASE_URL": "postgresql://o:p@127.0.0.1:5432/a"}, []),
            ({"DATABASE_URL": "postgresql://o:p@[::1]/a"}, []),
            ({"DATABASE_URL": "postgresql://o:p@/a?host=/var/run/postgresql"}, []),
            ({"POSTGRES_HOST": "/var/run/postgresql"}, []),
            ({"REDIS_HOST": "cache"}, ["REDIS_TLS", "REDIS_PASSWORD"]),
            ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "p"}, ["REDIS_TLS"]),
            ({"REDIS_HOST": "cache", "REDIS_TLS": "off"}, ["REDIS_PASSWORD"]),
            ({"REDIS_URL": "redis://:p@cache/0"}, ["REDIS_TLS"]),
            ({"REDIS_URL": "rediss://cache/0"}, ["REDIS_PASSWORD"]),
            ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "p", "REDIS_TLS": "on"}, []),
            ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "p", "REDIS_TLS": "off"}, []),
            ({"REDIS_URL": "redis://:p@cache/0", "REDIS_TLS": "off"}, []),
            ({"REDIS_URL": "rediss://:p@cache/0"}, []),
            ({"REDIS_URL": "redis://localhost/0"}, []),
            ({"REDIS_URL": "unix:///run/redis.sock"}, []),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], refused: list[str]
    ) -> None:
        if not refused:
            assert load(monkeypatch, PRODUCTION | variables).app.production
            return
        lines = error_lines(monkeypatch, PRODUCTION | variables)
        assert [line.split(": production requires ")[0] for line in lines] == refused

    @pytest.mark.parametrize(("url", "tls"), [("redis://cache/0", "on"), ("rediss://cache/0", "off")])
    def test_two_words_on_tls_must_agree(self, monkeypatch: pytest.MonkeyPatch, url: str, tls: str) -> None:
        (line,) = error_lines(monkeypatch, {"REDIS_URL": url, "REDIS_TLS": tls})
        assert line.startswith("REDIS_TLS: contradicts REDIS_URL")

    def test_what_is_unencrypted_on_purpose_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        on_purpose = {
            "POSTGRES_HOST": "db",
            "POSTGRES_SSLMODE": "disable",
            "REDIS_URL": "redis://:p@cache/0",
            "REDIS_TLS": "off",
            "DRAMATIQ_BROKER": "rabbitmq",
            "DRAMATIQ_RABBITMQ_URL": "amqp://u:p@queue/",
        }
        warnings = plaintext_warnings(load(monkeypatch, on_purpose))
        assert [line.split(":")[0] for line in warnings] == ["POSTGRES_SSLMODE", "REDIS_TLS", "DRAMATIQ_RABBITMQ_URL"]
        encrypted = {"POSTGRES_SSLMODE": "require", "REDIS_TLS": "", "REDIS_URL": "rediss://:p@cache/0"}
        secure = on_purpose | encrypted | {"DRAMATIQ_RABBITMQ_URL": "amqps://u:p@queue/"}
        assert list(plaintext_warnings(load(monkeypatch, secure))) == []


class TestClaimNames:
    @pytest.mark.parametrize(
        ("variable", "value"),
        [("JWT_ROLE_CLAIM", "tenant_id"), ("JWT_SCOPE_CLAIM", "role"), ("JWT_SCOPE_CLAIM", "tenant_id")],
    )
    def test_one_claim_says_one_thing(self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
        (line,) = error_lines(monkeypatch, {variable: value})
        assert line == f"{variable}: must not be a claim that another setting uses"


class TestEmbeddingServer:
    SERVER: ClassVar[dict[str, str]] = {
        "EMBEDDING_BASE_URL": "http://127.0.0.1:8080/v1",
        "EMBEDDING_MODEL": "BAAI/bge-m3",
    }

    @pytest.mark.parametrize(("chosen", "expected"), [("", "http"), ("http", "http"), ("none", "none")])
    def test_a_server_that_is_set_embeds_new_projects_unless_told_otherwise(
        self, monkeypatch: pytest.MonkeyPatch, chosen: str, expected: str
    ) -> None:
        assert load(monkeypatch, {}).default_embedder == "minilm"
        assert load(monkeypatch, {**self.SERVER, "RAG_EMBEDDER": chosen}).default_embedder == expected

    @pytest.mark.parametrize(
        ("variables", "missing"),
        [
            ({"EMBEDDING_BASE_URL": "http://127.0.0.1:8080/v1"}, "EMBEDDING_MODEL: "),
            ({"EMBEDDING_MODEL": "bge"}, "EMBEDDING_BASE_URL: "),
            ({"RAG_EMBEDDER": "http"}, "EMBEDDING_BASE_URL: "),
        ],
    )
    def test_half_a_server_is_none(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], missing: str
    ) -> None:
        (line,) = error_lines(monkeypatch, variables)
        assert line.startswith(missing)


class TestStorage:
    S3: ClassVar = {"STORAGE_BACKEND": "s3", "S3_BUCKET": "files"}

    @pytest.mark.parametrize(
        ("variables", "problem"),
        [
            ({"STORAGE_BACKEND": "s3"}, "S3_BUCKET: must be set"),
            ({"S3_BUCKET": "files"}, "STORAGE_BACKEND: must be s3"),
            ({**S3, "S3_ACCESS_KEY_ID": "key"}, "S3_SECRET_ACCESS_KEY: must be set"),
            ({**S3, "S3_SECRET_ACCESS_KEY": "hidden"}, "S3_ACCESS_KEY_ID: must be set"),
            ({**S3, "S3_ENDPOINT_URL": "http://127.0.0.1:9000"}, "S3_ALLOW_HTTP must be true"),
            ({**S3, "S3_ENDPOINT_URL": "https://key:hidden@host"}, "S3_ENDPOINT_URL: must be https://host:port"),
            ({**S3, "S3_ENDPOINT_URL": "https://host/bucket"}, "S3_ENDPOINT_URL: must be https://host:port"),
            ({**S3, "S3_BUCKET": "Not_A_Bucket"}, "S3_BUCKET"),
            ({**S3, "S3_PREFIX": "a/../b"}, "S3_PREFIX"),
            ({**S3, "S3_PREFIX": "/a/"}, "S3_PREFIX"),
        ],
    )
    def test_half_a_configuration_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], problem: str
    ) -> None:
        with pytest.raises(ConfigurationError) as raised:
            load(monkeypatch, variables)
        assert problem in raised.value.detail
        assert "hidden" not in raised.value.detail

    @pytest.mark.parametrize(("host", "refused"), [("10.0.0.5:9000", True), ("127.0.0.1:9000", False)])
    def test_production_sends_no_file_unencrypted(
        self, monkeypatch: pytest.MonkeyPatch, host: str, *, refused: bool
    ) -> None:
        variables = {**PRODUCTION, **self.S3, "S3_ALLOW_HTTP": "1", "S3_ENDPOINT_URL": f"http://{host}"}
        if refused:
            with pytest.raises(ConfigurationError, match="S3_ENDPOINT_URL: production requires https"):
                load(monkeypatch, variables)
        else:
            assert load(monkeypatch, variables).s3.path_style


class TestAddress:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "app.example.com"])  # noqa: S104  nothing listens on it
    def test_a_default_secret_is_not_shown_to_the_network(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET .*ALLOW_INSECURE=1"):
            load_settings(env_file=None).require_safe_address(host)
        load(monkeypatch, {"ALLOW_INSECURE": "1"}).require_safe_address(host)
        load(monkeypatch, {"ALLOW_INSECURE": "0", "JWT_SECRET": "my own"}).require_safe_address(host)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_loopback_is_safe(self, host: str) -> None:
        load_settings(env_file=None).require_safe_address(host)


class TestSecrets:
    SECRETS = (
        "POSTGRES_PASSWORD",
        "POSTGRES_API_PASSWORD",
        "POSTGRES_WORKER_PASSWORD",
        "REDIS_PASSWORD",
        "OPENAI_API_KEY",
        "JWT_SECRET",
        "API_KEY_SECRET",
        "EMBEDDING_API_KEY",
        "POSTGRES_ADMIN_PASSWORD",
        "ANSWER_API_KEY",
    )

    def test_no_way_of_printing_settings_shows_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {name: f"hunter2-{name}" for name in self.SECRETS}
        variables["DATABASE_URL"] = "postgresql://owner:hunter2@db/acme"
        variables["REDIS_URL"] = "redis://:hunter2@cache:6379/0"
        settings = load(monkeypatch, variables)
        for printed in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
            assert "hunter2" not in printed
            assert "**********" in printed

    def test_an_error_elsewhere_does_not_show_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {name: f"hunter2-{name}" for name in self.SECRETS}
        assert "hunter2" not in "".join(error_lines(monkeypatch, variables | {"PORT": "x", "REDIS_DB": "x"}))


def test_anonymous_callers_get_ten_times_the_limit_unless_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, {"RATE_LIMIT_RPM": "7"}).rate_limit.per_address == 70
    assert load(monkeypatch, {"RATE_LIMIT_RPM": "1000000000"}).rate_limit.per_address == 10**9
    assert load(monkeypatch, {"RATE_LIMIT_ANONYMOUS_RPM": "3"}).rate_limit.per_address == 3
