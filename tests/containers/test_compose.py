"""Tests that docker-compose.yml and the Dockerfile fit the program. They need no container engine."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import uvicorn
import yaml
from dotenv import dotenv_values

from fastapi_ignite.cli import build_app
from fastapi_ignite.core.config import PROJECT_ROOT, Settings, default_settings, load_settings, sections, variable_name
from fastapi_ignite.core.production_checks import plaintext_warnings
from fastapi_ignite.infra.services import open_services
from fastapi_ignite.main import create_app
from support.command_line import free_port
from support.tokens import STRONG_SECRET

PROGRAM = ("migrate", "api", "worker", "scheduler")
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)


def compose(**dotenv: str) -> dict[str, Any]:
    """Return docker-compose.yml as docker-compose reads it with these variables in `.env`."""
    text = (PROJECT_ROOT / "docker-compose.yml").read_text()
    filled = VARIABLE.sub(lambda match: dotenv.get(match["name"]) or match["default"], text)
    assert not re.search(r"(?<!\$)\$\{", filled), "a variable without a default fails where .env does not set it"
    document: dict[str, Any] = yaml.safe_load(filled)
    return document


def example() -> dict[str, str]:
    """Return the variables that `cp .env.example .env` gives."""
    return {name: value or "" for name, value in dotenv_values(PROJECT_ROOT / ".env.example").items()}


def settings_of(service: str, monkeypatch: pytest.MonkeyPatch, **dotenv: str) -> Settings:
    """Return the settings with which the process of the service starts."""
    described = compose(**dotenv)["services"][service]
    assert described["env_file"] == ".env"
    for section in sections().values():
        for field in section.model_fields:
            monkeypatch.delenv(variable_name(section, field), raising=False)
    for name, value in {**dotenv, **described["environment"]}.items():
        monkeypatch.setenv(name, value)
    return load_settings(env_file=None)


@pytest.mark.parametrize("service", PROGRAM)
def test_command_is_one_of_the_program(service: str) -> None:
    command = compose()["services"][service]["command"]
    typed = typer.main.get_command(build_app(command[0]))
    context = typed.make_context("cli.py", [], resilient_parsing=True)
    for word in command:
        found = getattr(typed, "commands", {}).get(word)
        assert found is not None, f"{service}: no command {word!r}"
        typed, context = found, found.make_context(word, [], parent=context, resilient_parsing=True)
    assert not hasattr(typed, "commands"), f"{service}: {command} is a group of commands"


@pytest.mark.parametrize("service", PROGRAM)
def test_every_variable_set_is_a_setting(service: str) -> None:
    known = {variable_name(section, field) for section in sections().values() for field in section.model_fields}
    assert set(compose()["services"][service]["environment"]) <= known


@pytest.mark.parametrize("service", PROGRAM)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"DATABASE_URL": "postgresql://me@localhost/mine", "REDIS_URL": "redis://localhost/0", "HOST": "127.0.0.1"},
        {"POSTGRES_USER": "owner", "POSTGRES_PASSWORD": "p@ss:w/rd", "POSTGRES_DB": "acme", "REDIS_PASSWORD": "s:cr/t"},
    ],
    ids=["example", "servers of the developer's own", "names and passwords of one's own"],
)
def test_settings_name_the_servers_of_the_file(
    service: str, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv = example() | changes
    services = compose(**dotenv)["services"]
    settings = settings_of(service, monkeypatch, **dotenv)
    settings.require_safe_address(settings.app.host)
    opened = open_services(settings)
    assert opened.lease is None, "the service would start embedded servers"
    owner = opened.addresses.owner_url
    postgres = services["postgres"]["environment"]
    assert (owner.host, owner.port) == ("postgres", 5432)
    assert (owner.username, owner.password, owner.database) == (
        postgres["POSTGRES_USER"],
        postgres["POSTGRES_PASSWORD"],
        postgres["POSTGRES_DB"],
    )
    assert postgres["POSTGRES_PASSWORD"], "the image of PostgreSQL refuses an empty password"
    assert settings.redis.host == "redis"
    assert settings.redis.url is None
    assert settings.redis.password is not None
    command = services["redis"]["command"]
    password = settings.redis.password.get_secret_value()
    assert command[command.index("--requirepass") + 1] == password == services["redis"]["environment"]["REDIS_PASSWORD"]


def test_a_setting_of_dotenv_reaches_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv = example() | {"RATE_LIMIT_ANONYMOUS_RPM": "77", "PROJECT_NAME": "Acme"}
    settings = settings_of("api", monkeypatch, **dotenv)
    assert settings.rate_limit.anonymous_rpm == 77
    assert settings.app.project_name == "Acme"


def test_production_with_the_development_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="JWT_SECRET: production requires"):
        settings_of("api", monkeypatch, **(example() | {"ENV": "production"}))


def test_production_takes_secrets_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"JWT_SECRET": STRONG_SECRET, "POSTGRES_PASSWORD": "of-postgres", "REDIS_PASSWORD": "of-redis"}
    for service in PROGRAM:
        settings = settings_of(service, monkeypatch, **(example() | {"ENV": "production"} | own))
        assert open_services(settings).lease is None
        assert len(list(plaintext_warnings(settings))) == 2, "doctor tells what is not encrypted"


def test_uploads_lie_on_one_volume_for_all_who_touch_them(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose()["services"]
    for service in ("api", "worker", "scheduler"):
        settings = settings_of(service, monkeypatch, **example())
        mounts = dict(volume.split(":")[:2] for volume in services[service]["volumes"])
        assert mounts == {"ignite-data": str(settings.ignite.data_dir)}
        assert settings.cache.file_path.is_relative_to(settings.ignite.data_dir), "the root is read-only"


def test_named_volumes_hold_what_must_last() -> None:
    document = compose()
    used = {
        volume.split(":")[0]: volume.split(":")[1]
        for service in document["services"].values()
        for volume in service.get("volumes", [])
    }
    assert set(used) == set(document["volumes"])
    # since PostgreSQL 18, the image keeps its data in a subfolder for the version
    assert used["postgres-data"] == "/var/lib/postgresql"


def test_only_the_api_is_reachable_and_from_this_machine_only() -> None:
    services = compose(PORT="9000")["services"]
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:9000:8000"]
    }
    assert {service["environment"]["PORT"] for name, service in services.items() if name in PROGRAM} == {"8000"}


def test_nothing_starts_before_what_it_needs() -> None:
    services = compose()["services"]
    healthy, done = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    assert services["migrate"]["depends_on"] == {"postgres": healthy}
    assert services["migrate"]["restart"] == "no"
    for service in ("api", "worker", "scheduler"):
        assert services[service]["depends_on"] == {"postgres": healthy, "redis": healthy, "migrate": done}
    assert "test" in services["postgres"]["healthcheck"]
    assert "test" in services["redis"]["healthcheck"]


@pytest.mark.parametrize("service", PROGRAM)
def test_processes_have_no_rights_to_lose(service: str) -> None:
    described = compose()["services"][service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described["tmpfs"] == ["/tmp:mode=1777"]  # noqa: S108  a folder of the container, which Docker mounts noexec


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "docker-compose.yml", tmp_path)
    shutil.copy(PROJECT_ROOT / ".env.example", tmp_path / ".env")
    shown = subprocess.run(
        ["docker-compose", "config"],  # noqa: S607  uses the program on PATH
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    understood = yaml.safe_load(shown.stdout)["services"]
    for name, service in compose(**example())["services"].items():
        for variable, value in service["environment"].items():
            assert str(understood[name]["environment"][variable]) == value
        assert understood[name].get("command") == service.get("command")


@cache
def dockerfile() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    text = re.sub(r"^#.*\n", "", (PROJECT_ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: list[list[tuple[str, str]]] = [[]]
    for name, rest in INSTRUCTION.findall(text.replace("\\\n", "")):
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages[1:]


def copied() -> Iterator[str]:
    """Return the paths that the build copies from the checkout."""
    for stage in dockerfile():
        for name, rest in stage:
            if name == "COPY" and "--from" not in rest:
                yield from rest.split()[:-1]


def test_the_image_is_built_from_files_that_are_there_and_sent() -> None:
    rules = [line for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in {"", "#"}]
    assert rules[0] == "*", "what is not listed stays out: .env, data, history"
    for path in copied():
        assert (PROJECT_ROOT / path.removeprefix("./")).exists()
        assert f"!{path.removeprefix('./')}" in rules
    sent = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert sent == {path.removeprefix("./") for path in copied()}
    assert not any(fnmatch.fnmatch(".env", rule) for rule in sent)


def test_the_image_runs_the_program_without_rights_or_build_tools() -> None:
    build, final = dockerfile()
    install = " ".join(rest for name, rest in build if name == "RUN")
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    last = dict(final)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"]), "a number, so that an orchestrator can see it is not root"
    assert json.loads(last["ENTRYPOINT"]) == ["python", "cli.py"]
    assert json.loads(last["CMD"]) == compose()["services"]["api"]["command"]
    assert last["WORKDIR"] == "/app"
    assert "pip uninstall --yes pip setuptools wheel" in next(rest for name, rest in final if name == "RUN")


def test_the_image_refuses_the_development_secret_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dict(pair.split("=", 1) for pair in dict(dockerfile()[-1])["ENV"].split())
    for name in ("HOST", "IGNITE_DATA_DIR", "CACHE_FILE_PATH"):
        monkeypatch.setenv(name, environment[name])
    settings = load_settings(env_file=None)
    with pytest.raises(Exception, match=r"HOST=0\.0\.0\.0 is refused"):
        settings.require_safe_address(settings.app.host)
    assert settings.cache.file_path.is_relative_to(settings.ignite.data_dir)


@pytest.mark.parametrize("prefix", ["/api", "/acme/api"])
def test_the_health_check_tells_a_running_api_from_none(prefix: str) -> None:
    check = dict(dockerfile()[-1])["HEALTHCHECK"]
    command = json.loads(check[check.index("CMD ") + len("CMD ") :])
    assert command[0] == "python"
    port = free_port()
    environment = {"PORT": str(port), "API_PREFIX": prefix}

    def healthy() -> bool:
        asked = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)  # noqa: S603  runs our own code
        return asked.returncode == 0

    assert not healthy()
    defaults = default_settings()
    settings = defaults.model_copy(update={"app": defaults.app.model_copy(update={"api_prefix": prefix})})
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        assert healthy()
    finally:
        server.should_exit = True
        thread.join()
    assert not healthy()
