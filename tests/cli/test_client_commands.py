"""Tests of the commands that use the API of a running stack: ask, search, status, projects, tenants."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from support.command_line import CommandLine, free_port
from support.running_stack import RunningStack
from support.tenant_commands import TenantCommands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SENTENCE = "The orchard of Rottweil keeps nine apple trees."


@pytest.fixture
def project(acme: TenantCommands, tmp_path: Path) -> str:
    """Return the id of a project with one file."""
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees" / "orchard.txt").write_text(f"{SENTENCE}\n")
    found: str = acme.json("ingest", "Orchard", str(tmp_path), "--create")["project_id"]
    return found


class TestAsk:
    def test_the_answer_has_numbered_quotes_and_goes_on_in_its_conversation(
        self, acme: TenantCommands, project: str
    ) -> None:
        printed = acme.run("ask", "Orchard", "How many apple trees does the orchard keep?").succeeded()
        assert printed.startswith(SENTENCE)
        assert f'\n[1] trees/orchard.txt, characters 0 to 47\n    "{SENTENCE}"\n' in printed
        conversation = printed.rstrip().rpartition("--conversation ")[2]
        assert ID.fullmatch(conversation)
        acme.run("ask", project, "And pear trees?", "--conversation", conversation).succeeded()
        assert acme.get(f"/query/conversations/{conversation}")["message_count"] == 4
        assert acme.get("/limits/current")["usage"]["messages_used"] == 2

    @pytest.mark.usefixtures("project")
    def test_a_refusal_is_shown_as_one(self, acme: TenantCommands) -> None:
        printed = acme.run("ask", "Orchard", "What is the capital of Peru?").succeeded()
        assert "The files do not contain the answer." in printed
        assert "[1]" not in printed

    def test_on_a_terminal_the_answer_is_streamed(self, acme: TenantCommands, project: str) -> None:
        above, below = pty.openpty()
        environment = acme.commands.environment | {"IGNITE_API_KEY": acme.token}
        with os.fdopen(above, "rb", buffering=0) as terminal:
            running = subprocess.Popen(  # noqa: S603  # our own program
                acme.commands.command("ask", project, "How many apple trees does the orchard keep?"),
                stdout=below,
                env=environment,
                cwd=acme.commands.folder,
            )
            os.close(below)
            printed = b""
            while block := _read(terminal.fileno()):
                printed += block
            assert running.wait(60) == 0
        text = printed.decode().replace("\r\n", "\n")
        assert text.count(SENTENCE) == 2, "once as the answer, and once as its quote"
        assert f'[1] trees/orchard.txt, characters 0 to 47\n    "{SENTENCE}"' in text

    def test_an_unknown_conversation_is_one_line(self, acme: TenantCommands, project: str) -> None:
        refused = acme.run("ask", project, "Why?", "--conversation", project).refused_with()
        assert "conversation_not_found, request " in refused


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when nobody has the other end open any more
        return b""


def test_search_prints_places_and_texts(acme: TenantCommands, project: str) -> None:
    printed = acme.run("search", "Orchard", "apple", "trees").succeeded()
    assert printed.startswith("[1] trees/orchard.txt, characters 0 to 47, score ")
    assert f"\n    {SENTENCE}\n" in printed
    [found] = acme.json("search", project, "apple", "trees")["results"]
    assert found["text"] == SENTENCE
    assert acme.run("search", project, "zeppelin").succeeded() == "Nothing was found.\n"


def test_status_tells_plan_quotas_and_projects(acme: TenantCommands, project: str) -> None:
    printed = acme.run("status").succeeded()
    assert f"tenant {acme.tenant_id} (Acme)" in printed
    assert re.search(r"characters +│ 48 +│ 500,000 +│ 499,952 ", printed), printed
    assert re.search(rf"{project} │ Orchard │ 1 +│ 0 +│ 0 +│ 0 +│ 48 bytes", printed), printed
    state = acme.json("status")
    assert state["tenant"]["id"] == acme.tenant_id
    assert state["projects"][0]["files"]["completed"] == 1


def test_projects_are_listed_from_all_pages_and_found_by_their_exact_name(
    acme: TenantCommands, api_stack: RunningStack
) -> None:
    caps = ("--max-projects", "200", "--message-cap", "1", "--upload-char-cap", "1")
    api_stack.commands.run("plans", "set", "wide", *caps).succeeded()
    tenant_id = api_stack.commands.run("tenants", "create", "Wide", "--plan", "wide").succeeded().strip()
    token = api_stack.commands.run("token", tenant_id).succeeded().strip()
    wide = TenantCommands(tenant_id, token, acme.commands, acme.api)
    for number in range(3):
        wide.run("projects", "create", f"Docs {number}").succeeded()
    made = wide.run("projects", "create", "Docs").succeeded().strip()
    assert ID.fullmatch(made)
    listed = wide.json("projects", "list")
    assert [each["name"] for each in listed] == ["Docs 0", "Docs 1", "Docs 2", "Docs"]
    assert wide.json("search", "Docs", "x")["results"] == []
    assert wide.run("projects", "create", "Docs").succeeded().strip() == made


@pytest.mark.parametrize("columns", ["40", "80", "400"])
def test_no_id_is_cut_however_narrow_the_terminal_is(acme: TenantCommands, project: str, columns: str) -> None:
    admin_key = acme.commands.run("admin-key").succeeded().strip()
    for command, wanted in (
        (("projects", "list"), project),
        (("status",), project),
        (("status",), acme.tenant_id),
        (("tenants", "list"), acme.tenant_id),
    ):
        printed = acme.run(*command, COLUMNS=columns, IGNITE_ADMIN_KEY=admin_key).succeeded()
        assert wanted in printed, command
        assert "…" not in printed
    keys = acme.run("admin-key", "list", COLUMNS=columns).succeeded()
    assert ID.search(keys)
    assert "…" not in keys


class TestTenants:
    def test_the_list_needs_an_admin_key_and_says_how_to_get_one(self, acme: TenantCommands) -> None:
        refused = acme.commands.run("tenants", "list").refused_with()
        assert "export IGNITE_ADMIN_KEY=$(python cli.py admin-key)" in refused
        key = acme.commands.run("admin-key").succeeded().strip()
        listed = acme.commands.run("tenants", "list", "--name", "Acme", IGNITE_ADMIN_KEY=key).succeeded()
        assert acme.tenant_id in listed
        assert key not in listed

    def test_a_plan_that_does_not_exist_is_one_line(self, acme: TenantCommands) -> None:
        assert "plan_not_found" in acme.commands.run("tenants", "create", "X", "--plan", "nothing").refused_with()


class TestConnection:
    def test_a_tenant_id_is_enough_where_the_secret_is_known(self, acme: TenantCommands) -> None:
        printed = acme.commands.run("status", "--tenant", acme.tenant_id).succeeded()
        assert f"tenant {acme.tenant_id}" in printed

    def test_the_address_may_leave_out_the_path(self, acme: TenantCommands, api_stack: RunningStack) -> None:
        here = f"http://127.0.0.1:{api_stack.port}"
        assert acme.json("status", IGNITE_URL=here)["url"] == f"{here}/api/v1"

    def test_an_address_of_something_else_is_told(self, acme: TenantCommands, api_stack: RunningStack) -> None:
        other = f"http://127.0.0.1:{api_stack.port}/docs"
        assert "not_found" in acme.run("status", IGNITE_URL=other).refused_with()
        assert "It begins with http" in acme.run("status", IGNITE_URL="localhost:8000").refused_with()

    def test_a_token_that_cannot_be_sent_is_not_printed(self, acme: TenantCommands) -> None:
        refused = acme.commands.run("status", "--token", "hunter2\n").refused_with()
        assert "hunter2" not in refused

    def test_nothing_is_tried_for_long_if_the_server_is_away(self, tmp_path: Path) -> None:
        away = CommandLine(tmp_path, PORT=str(free_port()), IGNITE_API_KEY="any")
        assert "does not answer (" in away.run("status").refused_with()
