"""Tests of `cli.py doctor`, which says what works, what does not, and what to do about it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fastapi_ignite.cli.server_checks import pgvector_finding
from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine, free_port
from support.tokens import STRONG_SECRET

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator


def test_a_sound_installation_passes(commands: CommandLine) -> None:
    finished = commands.run("doctor")
    finished.succeeded()
    found = finished.findings()
    assert found["JWT_SECRET"].startswith("warn the development default")
    assert found["redis"].startswith("ok valkey 9")
    assert re.match(r"ok \d\d\.\d", found["postgresql"])
    assert re.match(r"ok 0\.\d+\.\d, the newest that the server has", found["pgvector"])
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


def test_the_findings_are_json_on_request(commands: CommandLine) -> None:
    finished = commands.run("doctor", "--json", RAG_EMBEDDER="none")
    found = {finding["subject"]: finding for finding in json.loads(finished.succeeded())}
    assert found["redis"]["verdict"] == "ok"
    assert found["pgvector"]["detail"].endswith("the newest that the server has")


@pytest.mark.parametrize(
    ("installed", "available", "verdict", "words"),
    [
        ("0.8.1", "0.8.1", "ok", "0.8.1, the newest that the server has"),
        ("0.8.0", "0.8.1", "warn", "ALTER EXTENSION vector UPDATE to get 0.8.1"),
        ("0.7.4", "0.7.4", "warn", "large projects get no vector index"),
        ("0.6.2", "0.8.1", "fail", "0.7 or newer is needed; a superuser can run ALTER EXTENSION vector UPDATE"),
        ("0.6.2", "0.6.2", "fail", "install a newer package"),
        (None, "0.8.1", "fail", "run 'python cli.py db migrate'"),
        (None, None, "fail", "the server does not have it"),
    ],
)
def test_each_version_of_pgvector_has_its_advice(
    installed: str | None, available: str | None, verdict: str, words: str
) -> None:
    finding = pgvector_finding(installed, available)
    assert (finding.verdict, words in finding.detail) == (verdict, True), finding


class TestModels:
    """The simulator has the same list of models as OpenAI has, and answers for any other server as well."""

    @pytest.fixture
    def doctor(self, simulator: RunningSimulator) -> dict[str, str]:
        """Return the variables of an installation with the simulator as both servers."""
        return {
            "RAG_EMBEDDER": "none",
            "OPENAI_API_KEY": "sk-hunter2",
            "OPENAI_BASE_URL": simulator.base_url,
            "ANSWER_MODEL": "gpt-4.1-mini",
            "ANSWER_BASE_URL": simulator.base_url,
            "ANSWER_API_KEY": "hunter3",
        }

    def test_both_are_asked_and_no_model_is_run(
        self, commands: CommandLine, doctor: dict[str, str], simulator: RunningSimulator
    ) -> None:
        finished = commands.run("doctor", **doctor)
        finished.succeeded()
        found = finished.findings()
        assert found["openai"] == f"ok gpt-4.1-mini at {simulator.base_url}"
        assert f"answer model  ok    gpt-4.1-mini at {simulator.base_url}" in finished.output
        assert "hunter2" not in finished.output + finished.error

    def test_a_model_that_is_missing_is_named_with_those_there_are(
        self, commands: CommandLine, doctor: dict[str, str]
    ) -> None:
        finished = commands.run("doctor", **doctor, OPENAI_MODEL="gpt-none")
        assert finished.code == 1
        assert "has no model gpt-none; set OPENAI_MODEL to one of " in finished.findings()["openai"]

    def test_a_key_that_is_refused_is_told(
        self, commands: CommandLine, doctor: dict[str, str], simulator: RunningSimulator
    ) -> None:
        simulator.simulator.faults.add(
            Fault.model_validate({"route": "models.retrieve", "kind": "status", "status": 401})
        )
        finished = commands.run("doctor", **(doctor | {"ANSWER_API_KEY": "sk-other"}))
        assert finished.code == 1
        assert "refuses the key (401); set OPENAI_API_KEY to a valid one" in finished.findings()["openai"]

    def test_a_server_that_is_away_is_told(self, commands: CommandLine, doctor: dict[str, str]) -> None:
        away = f"http://127.0.0.1:{free_port()}/v1"
        finished = commands.run("doctor", **(doctor | {"ANSWER_BASE_URL": away}))
        assert finished.code == 1
        assert finished.findings()["openai"].startswith("ok ")
        assert re.search(rf"answer model +fail +{away} does not answer \(.*\); start the server", finished.output)
