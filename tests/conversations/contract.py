"""Facts about conversations for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    least_role={
        "DELETE /query/conversations/{conversation_id}": Role.MEMBER,
        "DELETE /query/messages/{message_id}/feedback": Role.MEMBER,
        "GET /query/conversations": Role.VIEWER,
        "GET /query/conversations/{conversation_id}": Role.VIEWER,
        "GET /query/conversations/{conversation_id}/messages": Role.VIEWER,
        "GET /query/messages/{message_id}": Role.VIEWER,
        "POST /query/messages/{message_id}/feedback": Role.MEMBER,
    }
)
