"""Tests of which broker the settings choose, and of the errors for wrong settings."""

from __future__ import annotations

import pytest

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.jobs import make_broker
from fastapi_ignite.infra.jobs.brokers import RedisJobBroker
from fastapi_ignite.infra.jobs.rabbitmq import RabbitmqJobBroker
from fastapi_ignite.infra.services import open_services

OUTSIDE = {"DATABASE_URL": "postgresql://me:word@database/ignite", "REDIS_URL": "redis://cache/3"}
RABBITMQ = "amqp://me:pass%2Fword@queue:5673/ignite"


@pytest.fixture(autouse=True)
def outside_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OUTSIDE.items():
        monkeypatch.setenv(name, value)


def broker_of_settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> object:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with open_services(load_settings(env_file=None)) as services:
        return make_broker(services.addresses.broker_url)


def test_redis_is_the_broker_unless_rabbitmq_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_of_settings(monkeypatch, DRAMATIQ_RABBITMQ_URL=RABBITMQ)
    assert isinstance(broker, RedisJobBroker)
    connection = broker.client.connection_pool.connection_kwargs
    assert (connection["host"], connection["db"]) == ("cache", 3)


def test_rabbitmq_is_reached_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_of_settings(monkeypatch, DRAMATIQ_BROKER="rabbitmq", DRAMATIQ_RABBITMQ_URL=RABBITMQ)
    assert isinstance(broker, RabbitmqJobBroker)
    (parameters,) = broker.parameters
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("queue", 5673, "ignite")
    assert (parameters.credentials.username, parameters.credentials.password) == ("me", "pass/word")


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"DRAMATIQ_BROKER": "kafka"},
            "DRAMATIQ_BROKER: Input should be 'redis' or 'rabbitmq'",
        ),
        (
            {"DRAMATIQ_BROKER": "rabbitmq"},
            "DRAMATIQ_RABBITMQ_URL: must be amqp://user:password@host:port/vhost when DRAMATIQ_BROKER=rabbitmq",
        ),
        (
            {"DRAMATIQ_BROKER": "rabbitmq", "DRAMATIQ_RABBITMQ_URL": "http://me:hidden@queue"},
            "DRAMATIQ_RABBITMQ_URL: must be amqp://user:password@host:port/vhost, or amqps:// (with TLS)",
        ),
        (
            {"DRAMATIQ_RABBITMQ_URL": "amqp://me:hidden@queue:70000"},
            "DRAMATIQ_RABBITMQ_URL: must be amqp://user:password@host:port/vhost, or amqps:// (with TLS)",
        ),
        (
            {"DRAMATIQ_BROKER": "rabbitmq", "DRAMATIQ_RABBITMQ_URL": "amqp://me:hidden@queue/?heartbeat=often"},
            "DRAMATIQ_RABBITMQ_URL: must be amqp://user:password@host:port/vhost",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        broker_of_settings(monkeypatch, **variables)
    assert refused.value.detail == line
