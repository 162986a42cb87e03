"""Facts about conversations for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract
from support.http_clients import TenantClient


async def _perform_audited_actions(tenant: TenantClient) -> None:
    project = await tenant.create_project("Docs")
    answer = await tenant.ask(project, "Is there anything?")
    await tenant.delete(f"/query/conversations/{answer.json()['conversation_id']}")


CONTRACT = FeatureContract(
    perform_audited_actions=_perform_audited_actions,
    least_role={
        "DELETE /query/conversations/{conversation_id}": Role.MEMBER,
        "DELETE /query/messages/{message_id}/feedback": Role.MEMBER,
        "GET /query/conversations": Role.VIEWER,
        "GET /query/conversations/{conversation_id}": Role.VIEWER,
        "GET /query/conversations/{conversation_id}/messages": Role.VIEWER,
        "GET /query/messages/{message_id}": Role.VIEWER,
        "POST /query/messages/{message_id}/feedback": Role.MEMBER,
    },
)
