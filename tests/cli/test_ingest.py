"""Tests of `cli.py ingest` on a running stack: kills, lost answers, quotas, and files that cannot be sent."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.command_line import free_port
from support.recording_proxy import recording_proxy
from support.running_stack import RunningStack
from support.sample_files import make_pdf
from support.tenant_commands import TenantCommands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BROKEN = {"broken-0.pdf", "broken-1.pdf", "picture.png"}
GROUPED = ("--files-per-request", "6", "--parallel", "2")


def make_folder(folder: Path) -> dict[str, bytes]:
    """Write 60 files of several formats and folders, three of them broken, and return the bytes by name."""
    files = {f"notes/{number}/note.txt": f"Note {number}: shelf {number * 7}.\n".encode() for number in range(30)}
    files |= {f"tables/{number}.csv": f"part,price\nbolt {number},{number}\n".encode() for number in range(10)}
    files |= {f"pages/{number}.html": f"<h1>Page {number}</h1><p>Hall {number}.</p>".encode() for number in range(9)}
    files |= {f"reports/{number}.pdf": make_pdf([f"Report {number} of the year."]) for number in range(8)}
    files |= {name: b"%PDF-1.7 and then nothing " + name.encode() for name in BROKEN if name.endswith("pdf")}
    files["picture.png"] = b"\x89PNG\r\n\x1a\n" + bytes(64)
    assert len(files) == 60
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def charged(acme: TenantCommands) -> int:
    used: int = acme.get("/limits/current")["usage"]["chars_uploaded"]
    return used


def failed(summary: dict[str, Any]) -> dict[str, str]:
    return {failure["name"]: failure["code"] for failure in summary["failures"]}


def test_a_run_that_is_killed_in_an_upload_is_resumed_without_sending_anything_twice(
    acme: TenantCommands, tmp_path: Path
) -> None:
    files = make_folder(tmp_path)
    project = acme.json("projects", "create", "Docs")["id"]
    with recording_proxy(acme.api) as proxy:
        proxy.hold_body = 4
        command = ("ingest", "Docs", str(tmp_path), *GROUPED)
        killed = acme.commands.start(*command, IGNITE_API_KEY=acme.token, IGNITE_URL=proxy.url)
        assert proxy.held.wait(60)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        proxy.release.set()
        cut = proxy.uploads[3].key
        first_run = len(proxy.uploads)
        assert proxy.uploads[3].status is None
        summary = acme.json(*command, IGNITE_URL=proxy.url)
        repeated = [upload.key for upload in proxy.uploads[first_run:]]
        assert len(set(proxy.accepted)) == len(proxy.accepted) == 10
        assert cut in repeated, "the group that was cut off has the same key again"

    rows = acme.files_of(project)
    assert Counter(row["filename"] for row in rows) == Counter(files.keys())
    assert failed(summary).keys() == BROKEN
    assert failed(summary)["picture.png"] == "unsupported_type"
    counts = summary["files"]
    assert (counts["found"], counts["completed"], counts["failed"], counts["not_sent"]) == (60, 57, 3, 0)
    assert counts["sent"] + counts["already_there"] == 60
    assert counts["already_there"] >= 6
    assert charged(acme) == sum(row["characters"] or 0 for row in rows)
    before = charged(acme)

    again = acme.run("ingest", project, str(tmp_path))
    assert again.code == 1
    assert "0 sent, 60 were in the project already" in again.output
    assert "1 file, unsupported_type: Pictures" in again.output
    assert charged(acme) == before


def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_doubled(acme: TenantCommands, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"Line {number}.\n")
    with recording_proxy(acme.api) as proxy:
        proxy.lose_answer = 1
        summary = acme.json("ingest", "Docs", str(tmp_path), "--create", IGNITE_URL=proxy.url)
        assert [upload.key for upload in proxy.uploads] == [proxy.uploads[0].key] * 2
    assert (summary["files"]["completed"], summary["failures"]) == (3, [])
    assert [row["filename"] for row in acme.files_of(summary["project_id"])] == ["0.txt", "1.txt", "2.txt"]
    assert charged(acme) == len("Line 0.\n") * 3


def test_files_that_were_removed_since_are_sent_again_within_the_lifetime_of_the_key(
    acme: TenantCommands, tmp_path: Path
) -> None:
    """The same files have the same Idempotency-Key, and the answer to the first request does not count any more."""
    (tmp_path / "a.txt").write_text("Nine apple trees.")
    (tmp_path / "b.txt").write_text("Ten pear trees.")
    project = acme.json("ingest", "Docs", str(tmp_path), "--create")["project_id"]
    for row in acme.files_of(project):
        acme.remove(project, row["id"])
    summary = acme.json("ingest", "Docs", str(tmp_path))
    assert (summary["files"]["sent"], summary["files"]["completed"]) == (2, 2)
    assert len(acme.files_of(project)) == 2


def test_a_quota_that_ends_in_the_middle_stops_the_run_and_another_one_goes_on(
    acme: TenantCommands, api_stack: RunningStack, tmp_path: Path
) -> None:
    caps = ("--max-projects", "3", "--message-cap", "10", "--upload-char-cap")
    api_stack.commands.run("plans", "set", "tiny", *caps, "250").succeeded()
    tenant_id = api_stack.commands.run("tenants", "create", "Small", "--plan", "tiny").succeeded().strip()
    token = api_stack.commands.run("token", tenant_id).succeeded().strip()
    small = TenantCommands(tenant_id, token, acme.commands, acme.api)
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(f"{number}" * 100)
    one_by_one = ("--files-per-request", "1", "--parallel", "1")
    summary = small.json("ingest", "Docs", str(tmp_path), "--create", *one_by_one)
    counts = summary["files"]
    assert counts["completed"] == 2
    assert counts["failed"] + counts["not_sent"] == 8
    assert set(failed(summary).values()) == {"quota_exceeded"}

    api_stack.commands.run("plans", "set", "tiny", *caps, "200").succeeded()
    refused = small.json("ingest", "Docs", str(tmp_path), *one_by_one)
    assert refused["files"]["completed"] == 2

    api_stack.commands.run("plans", "set", "tiny", *caps, "5000").succeeded()
    finished = small.run("ingest", "Docs", str(tmp_path), *one_by_one, "--retry-failed", "--json")
    assert finished.code == 0, finished.output
    assert json.loads(finished.output)["files"]["completed"] == 10
    assert charged(small) == 1000


def test_what_cannot_be_sent_is_named_and_the_rest_is_sent(acme: TenantCommands, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Nine apple trees.")
    (tmp_path / 'say "hi"; now.txt').write_text("A name with signs.")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("A name that is not UTF-8.")
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden.txt").write_text("hidden")
    (tmp_path / "large.txt").write_bytes(b"x" * 200_001)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "line\nbreak.txt").write_text("broken name")
    os.mkfifo(tmp_path / "pipe")
    summary = acme.json("ingest", "Docs", str(tmp_path), "--create")
    assert failed(summary) == {
        "gone.txt": "unreadable",
        "line\nbreak.txt": "invalid_filename",
        "pipe": "not_a_file",
        "large.txt": "file_too_large",
    }
    assert summary["files"] == {
        "found": 8,
        "sent": 3,
        "already_there": 0,
        "completed": 3,
        "failed": 4,
        "in_progress": 0,
        "not_sent": 0,
        "empty": 1,
    }
    assert {row["filename"] for row in acme.files_of(summary["project_id"])} == {
        "good.txt",
        'say "hi"; now.txt',
        "caf\N{REPLACEMENT CHARACTER}.txt",
    }
    again = acme.json("ingest", "Docs", str(tmp_path))
    assert (again["files"]["sent"], again["files"]["already_there"]) == (0, 3)


def test_without_waiting_the_files_are_reported_as_in_progress(acme: TenantCommands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Nine apple trees.")
    finished = acme.run("ingest", "Docs", str(tmp_path / "a.txt"), "--create", "--no-wait", "--json")
    assert finished.code == 0
    assert json.loads(finished.output)["files"]["in_progress"] == 1


def test_equal_files_of_one_name_are_each_there_once(acme: TenantCommands, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "readme.txt").write_text("The same words.")
    each = [str(tmp_path / folder) for folder in ("a", "b")]
    for sent in (2, 0):
        summary = acme.json("ingest", "Docs", *each, "--create")
        assert (summary["files"]["sent"], summary["files"]["completed"]) == (sent, 2)
    assert len(acme.files_of(summary["project_id"])) == 2
    assert charged(acme) == len("The same words.")


def test_ctrl_c_says_how_to_go_on(acme: TenantCommands, tmp_path: Path) -> None:
    make_folder(tmp_path)
    with recording_proxy(acme.api) as proxy:
        proxy.hold_body = 2
        running = acme.commands.start(
            "ingest", "Docs", str(tmp_path), "--create", *GROUPED, IGNITE_API_KEY=acme.token, IGNITE_URL=proxy.url
        )
        assert proxy.held.wait(60)
        os.killpg(running.pid, signal.SIGINT)
        output, error = running.communicate(timeout=60)
    assert running.returncode == 130, error
    assert "Interrupted. Run the same command again to go on" in output
    assert "Traceback" not in error


class TestRefused:
    def test_a_wrong_token(self, acme: TenantCommands, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("Nine apple trees.")
        refused = acme.run("ingest", "Docs", str(tmp_path), IGNITE_API_KEY="hunter2").refused_with()
        assert refused.startswith("The token is not valid. (invalid_token, request ")

    def test_an_error_is_json_too(self, acme: TenantCommands, tmp_path: Path) -> None:
        finished = acme.run("ingest", "Docs", str(tmp_path), "--json", IGNITE_API_KEY="hunter2")
        assert (finished.code, finished.output) == (1, "")
        error = json.loads(finished.error)["error"]
        assert (error["status"], error["code"]) == (401, "invalid_token")

    def test_a_server_that_is_away(self, acme: TenantCommands, tmp_path: Path) -> None:
        away = f"http://127.0.0.1:{free_port()}"
        refused = acme.run("ingest", "Docs", str(tmp_path), IGNITE_URL=away).refused_with()
        assert refused.startswith(f"{away}/api/v1 does not answer (")

    def test_a_project_that_does_not_exist(self, acme: TenantCommands, tmp_path: Path) -> None:
        assert acme.run("ingest", "Nowhere", str(tmp_path)).refused_with().startswith("There is no project 'Nowhere'.")

    def test_a_path_that_does_not_exist(self, acme: TenantCommands, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing" / "*.txt")
        assert acme.run("ingest", "Docs", missing).refused_with().startswith(f"{missing}: there is no such file")

    def test_no_credential(self, acme: TenantCommands, tmp_path: Path) -> None:
        assert acme.commands.run("ingest", "Docs", str(tmp_path)).refused_with().startswith("There is no credential.")


def test_a_server_that_goes_away_in_the_middle_is_resumed_later(acme: TenantCommands, tmp_path: Path) -> None:
    make_folder(tmp_path)
    command = ("ingest", "Docs", str(tmp_path), "--create", *GROUPED, "--patience", "2")
    with recording_proxy(acme.api) as proxy:
        proxy.hold_body = 3
        running = acme.commands.start(*command, "--json", IGNITE_API_KEY=acme.token, IGNITE_URL=proxy.url)
        assert proxy.held.wait(60)
    output, _ = running.communicate(timeout=90)
    summary = json.loads(output)
    assert running.returncode == 1
    assert summary["files"]["not_sent"] > 0
    assert "does not answer" in summary["stopped_by"]["message"]
    assert summary["files"]["sent"] + summary["files"]["not_sent"] == 60
    not_sent = [failure for failure in summary["failures"] if failure["status"] == "not_sent"]
    assert len(not_sent) == summary["files"]["not_sent"]
    resumed = acme.json(*command)
    assert (resumed["files"]["completed"], resumed["files"]["not_sent"]) == (57, 0)
    assert len(acme.files_of(resumed["project_id"])) == 60
