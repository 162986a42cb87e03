"""Tests of `cli.py doctor`, which says what works, what does not, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine
from support.tokens import STRONG_SECRET


def test_a_sound_installation_passes(commands: CommandLine) -> None:
    finished = commands.run("doctor")
    finished.succeeded()
    found = finished.findings()
    assert found["JWT_SECRET"].startswith("warn the development default")
    assert found["redis"].startswith("ok valkey 9")
    assert found["database"].startswith("ok at migration ")
    assert found["logins"] == "ok ignite_api and ignite_worker can connect"
    assert found["scheduler"].startswith("warn no scheduler runs")
    assert found["embedder"].startswith("ok minilm, 384 dimensions, computed in ")
    assert "production" not in found
    assert not commands.data_dir.exists()


def test_a_missing_schema_is_a_failure_that_says_what_to_do(folder: Path, empty: ServiceAddresses) -> None:
    finished = CommandLine.on_servers(folder, empty).run("doctor", RAG_EMBEDDER="none", JWT_SECRET=STRONG_SECRET)
    found = finished.findings()
    assert finished.code == 1
    assert found["database"].startswith("fail The database is at migration none")
    assert found["database"].endswith("Run 'python cli.py db migrate'.")
    assert found["scheduler"].startswith("warn unknown")
    assert found["JWT_SECRET"] == "ok set"
    assert "embedder" not in found


def test_a_redis_that_is_not_there_fails_alone(commands: CommandLine) -> None:
    finished = commands.run("doctor", RAG_EMBEDDER="none", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    found = finished.findings()
    assert finished.code == 1
    assert found["redis"].startswith("fail ")
    assert found["database"].startswith("ok ")
    assert "hunter2" not in finished.output + finished.error


def test_a_malformed_address_is_a_finding(commands: CommandLine) -> None:
    finished = commands.run("doctor", DATABASE_URL="hunter2")
    assert finished.code == 1
    assert finished.findings()["servers"].startswith("fail DATABASE_URL: must be postgresql://")
    assert "hunter2" not in finished.output + finished.error


def test_what_production_would_refuse_is_known_before_it_does(folder: Path, empty: ServiceAddresses) -> None:
    commands = CommandLine.on_servers(folder, empty)
    unfit = {"DEBUG": "true", "TRUSTED_PROXIES": "0.0.0.0/0", "JWT_SECRET": "hunter2" * 8}
    told = commands.run("doctor", "--production", RAG_EMBEDDER="none", **unfit)
    lines = [line.split(None, 2) for line in told.output.splitlines() if line.split(None, 1)[:1] == ["production"]]
    assert [(verdict, words.split(":")[0]) for _, verdict, words in lines] == [
        ("fail", "would refuse DEBUG"),
        ("fail", "would refuse JWT_SECRET"),
        ("fail", "would refuse TRUSTED_PROXIES"),
    ]
    assert told.code == 1
    assert "hunter2" not in told.output + told.error
