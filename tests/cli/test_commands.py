"""Tests of the command line: help for every command, tokens, and errors that are one clear line."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from typer.testing import CliRunner

from fastapi_ignite.cli import COMMANDS, build_app
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import TokenVerifier
from support.command_line import CommandLine
from support.tokens import STRONG_SECRET

PRODUCTION = {"ENV": "production", "JWT_SECRET": STRONG_SECRET, "TENANT_SIGNUP": "open"}


@pytest.fixture
def commands(tmp_path: Path) -> CommandLine:
    """Return a command line without any server."""
    return CommandLine(tmp_path)


class TestHelp:
    def test_the_program_lists_its_commands(self, commands: CommandLine) -> None:
        printed = commands.run("--help").succeeded()
        for command in COMMANDS:
            assert f" {command} " in printed

    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_list_says_of_a_command_what_its_own_help_says(self, command: str) -> None:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(build_app(command), [command, "--help"])
        assert COMMANDS[command].summary in result.output

    @pytest.mark.parametrize(
        ("command", "options"),
        [
            ("up", "--port --workers"),
            ("down", ""),
            ("demo", ""),
            ("api", "--host --port --reload --workers"),
            ("worker", ""),
            ("scheduler", ""),
            ("token", "TENANT_ID --expires-in"),
            ("doctor", ""),
            ("openai-sim", "--port --state"),
            ("openapi", ""),
            ("settings", ""),
            ("jobs", ""),
            ("ingest", "PROJECT PATH --create --parallel --no-wait --retry-failed --url --token --tenant --json"),
            ("ask", "PROJECT QUESTION --conversation"),
            ("search", "PROJECT WORDS --limit"),
            ("status", "--json"),
            ("projects", "list create"),
            ("tenants", "list create"),
            ("tenants create", "NAME --plan --cycle --admin-key"),
            ("logs", "--follow --lines --process --level"),
            ("completion", "bash zsh fish"),
            ("db", "migrate init reset check"),
            ("db migrate", "REVISION"),
            ("db init", ""),
            ("db reset", "--yes"),
            ("db check", ""),
            ("plans", "list set"),
            ("plans list", ""),
            ("plans set", "ID --name --max-projects --message-cap --upload-char-cap --rate-limit-rpm"),
        ],
    )
    def test_every_command_explains_itself(self, command: str, options: str) -> None:
        path = command.split()
        result = CliRunner(env={"COLUMNS": "200"}).invoke(build_app(path[0]), [*path, "--help"])
        assert result.exit_code == 0
        assert f"Usage: root {command}" in result.output
        for option in options.split():
            assert option.lower() in result.output.lower()

    def test_an_unknown_command_is_an_error_of_usage(self, commands: CommandLine) -> None:
        finished = commands.run("start")
        assert finished.code == 2
        assert "No such command 'start'" in finished.error


class TestToken:
    async def test_it_verifies_as_the_api_verifies_it(self, commands: CommandLine, settings: Settings) -> None:
        tenant_id = new_id()
        token = commands.run("token", str(tenant_id)).succeeded().strip()
        verifier = TokenVerifier(settings)
        assert (await verifier.verify(token)).tenant_id == tenant_id
        assert jwt.decode(token, "change-me", algorithms=["HS256"]) == {"tenant_id": str(tenant_id)}

    def test_production_ends_it_after_an_hour_or_as_told(self, commands: CommandLine) -> None:
        tenant_id = str(new_id())
        for options, lifetime in (((), 3600), (("--expires-in", "60"), 60)):
            before = int(time.time())
            token = commands.run("token", tenant_id, *options, **PRODUCTION).succeeded().strip()
            claims = jwt.decode(token, STRONG_SECRET, algorithms=["HS256"])
            assert before + lifetime <= claims["exp"] <= int(time.time()) + lifetime
            assert UUID(claims["tenant_id"]) == UUID(tenant_id)

    def test_one_that_the_api_would_refuse_is_not_made(self, commands: CommandLine) -> None:
        refused = commands.run("token", str(new_id()), "--expires-in", "86401", **PRODUCTION).refused_with()
        assert refused.startswith("JWT_MAX_LIFETIME_SECONDS: a token may be valid for 86400 s at most")

    def test_what_is_no_id_is_an_error_of_usage(self, commands: CommandLine) -> None:
        finished = commands.run("token", "acme")
        assert (finished.code, finished.output) == (2, "")
        assert "valid UUID" in finished.error


class TestErrors:
    def test_a_wrong_setting_is_named_without_its_value(self, commands: CommandLine) -> None:
        refused = commands.run("down", PORT="hunter2").refused_with()
        assert refused.startswith("PORT: ")
        assert "hunter2" not in refused

    def test_the_environment_beats_the_file_of_the_folder(self, commands: CommandLine) -> None:
        (commands.folder / ".env").write_text("PORT=nonsense\n")
        assert commands.run("down").refused_with().startswith("PORT: ")
        commands.run("down", PORT="8000").succeeded()

    def test_there_may_be_nothing_to_stop(self, commands: CommandLine) -> None:
        assert commands.run("down").succeeded() == "Nothing is running.\n"
        assert not commands.data_dir.exists()

    def test_reloading_and_several_processes_exclude_each_other(self, commands: CommandLine) -> None:
        refused = commands.run("api", "--reload", "--workers", "2").refused_with()
        assert refused == "--reload and --workers cannot be used together."

    def test_a_scheduler_that_is_switched_off_ends_at_once(self, commands: CommandLine) -> None:
        assert "no periodic job runs" in commands.run("scheduler", SCHEDULER_ENABLED="false").succeeded()
        assert not commands.data_dir.exists()

    def test_a_data_folder_that_is_a_file_is_named(self, commands: CommandLine) -> None:
        commands.data_dir.write_text("in the way")
        assert str(commands.data_dir) in commands.run("up").refused_with()
