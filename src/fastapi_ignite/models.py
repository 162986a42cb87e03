"""Import the models of every feature, so that Alembic sees all tables."""

from fastapi_ignite.admin import models as admin
from fastapi_ignite.api_keys import models as api_keys
from fastapi_ignite.audit import models as audit
from fastapi_ignite.billing import models as billing
from fastapi_ignite.exports import models as exports
from fastapi_ignite.infra import periodic_runs
from fastapi_ignite.infra.db import Base
from fastapi_ignite.infra.idempotency import models as idempotency
from fastapi_ignite.ingestion import models as ingestion
from fastapi_ignite.items import models as items
from fastapi_ignite.projects import models as projects
from fastapi_ignite.query import models as query
from fastapi_ignite.rag.documents import models as rag_documents
from fastapi_ignite.rag.local import models as rag_local
from fastapi_ignite.rag.openai import models as rag_openai
from fastapi_ignite.tenants import models as tenants
from fastapi_ignite.usage import models as usage

__all__ = [
    "admin",
    "api_keys",
    "audit",
    "billing",
    "exports",
    "idempotency",
    "ingestion",
    "items",
    "metadata",
    "periodic_runs",
    "projects",
    "query",
    "rag_documents",
    "rag_local",
    "rag_openai",
    "tenants",
    "usage",
]

metadata = Base.metadata
