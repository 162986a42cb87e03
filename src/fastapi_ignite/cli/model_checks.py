"""Ask the servers of models, for `doctor`: whether they answer, accept the key, and have the model. No model is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from fastapi_ignite.cli.findings import Finding
from fastapi_ignite.core.config import Settings

SECONDS = 10
SHOWN_MODELS = 8
REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class _ModelServer:
    """A server, the model that is asked of it, and the prefix of the variables that set both."""

    subject: str
    prefix: str
    url: str
    model: str
    key: SecretStr | None
    headers: dict[str, str] = field(default_factory=dict)


def model_findings(settings: Settings) -> Iterator[Finding]:
    """Ask OpenAI if it has a key, and the server of the model that writes the local engine's answers if it is set."""
    openai, answer = settings.openai, settings.answer
    if openai.api_key:
        account = {"OpenAI-Organization": openai.organization, "OpenAI-Project": openai.project}
        headers = {name: value for name, value in account.items() if value}
        yield _examine(_ModelServer("openai", "OPENAI", openai.base_url, openai.model, openai.api_key, headers))
    if answer.model:
        yield _examine(_ModelServer("answer model", "ANSWER", answer.base_url or "", answer.model, answer.api_key))


def _examine(server: _ModelServer) -> Finding:
    try:
        answer = _ask(server)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        reason = str(error) or type(error).__name__
        advice = f"start the server, or correct {server.prefix}_BASE_URL"
        return Finding(server.subject, "fail", f"{server.url} does not answer ({reason}); {advice}")
    if answer.status_code in REFUSED:
        advice = f"set {server.prefix}_API_KEY to a valid one"
        return Finding(server.subject, "fail", f"{server.url} refuses the key ({answer.status_code}); {advice}")
    names = _names(answer)
    if server.model in names:
        return Finding(server.subject, "ok", f"{server.model} at {server.url}")
    if names:
        advice = f"set {server.prefix}_MODEL to one of {', '.join(names[:SHOWN_MODELS])}"
        return Finding(server.subject, "fail", f"{server.url} has no model {server.model}; {advice}")
    advice = f"ask a question to see whether {server.model} works"
    return Finding(
        server.subject, "warn", f"{server.url} answers {answer.status_code}, but no list of models; {advice}"
    )


def _ask(server: _ModelServer) -> httpx2.Response:
    """Ask for the model, and for all models of a server that does not answer that."""
    key = {"Authorization": f"Bearer {server.key.get_secret_value()}"} if server.key else {}
    url = f"{server.url.rstrip('/')}/models"
    with httpx2.Client(headers={**server.headers, **key}, timeout=SECONDS) as client:
        one = client.get(f"{url}/{quote(server.model, safe='')}")
        return one if one.status_code in REFUSED or _names(one) else client.get(url)


def _names(answer: httpx2.Response) -> list[str]:
    """Return the names in a list of models, or that of a single model."""
    try:
        body = answer.json() if answer.is_success else {}
        return sorted(str(model["id"]) for model in body.get("data", [body]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
