"""The list of the features of API version 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from fastapi_ignite.api import health
from fastapi_ignite.api_keys.router import router as api_keys
from fastapi_ignite.audit.router import admin as admin_audit
from fastapi_ignite.audit.router import router as audit
from fastapi_ignite.billing.router import admin as admin_plans
from fastapi_ignite.billing.router import plans_router as plans
from fastapi_ignite.billing.router import router as billing
from fastapi_ignite.conversations.router import router as conversations
from fastapi_ignite.core.config import Settings
from fastapi_ignite.deletions.router import admin as admin_deletions
from fastapi_ignite.deletions.router import router as deletions
from fastapi_ignite.erasure.router import admin as admin_erasure
from fastapi_ignite.erasure.router import router as erasure
from fastapi_ignite.exports.router import router as exports
from fastapi_ignite.http.routing import FeatureRouter, build_version
from fastapi_ignite.ingestion.files_router import router as files
from fastapi_ignite.ingestion.router import router as ingestion
from fastapi_ignite.ingestion.versions_router import router as file_versions
from fastapi_ignite.items.router import router as items
from fastapi_ignite.limits.router import router as limits
from fastapi_ignite.onboarding.router import router as onboarding
from fastapi_ignite.projects.router import router as projects
from fastapi_ignite.query.router import router as query
from fastapi_ignite.tenants.router import admin as admin_tenants
from fastapi_ignite.tenants.router import router as tenants
from fastapi_ignite.usage.router import router as usage

FEATURES: Sequence[FeatureRouter] = (
    health.router,
    items,
    onboarding,
    exports,
    plans,
    billing,
    projects,
    ingestion,
    files,
    file_versions,
    deletions,
    query,
    conversations,
    limits,
    usage,
    api_keys,
    audit,
    tenants,
    erasure,
    admin_tenants,
    admin_erasure,
    admin_deletions,
    admin_plans,
    admin_audit,
)


def build_router(settings: Settings) -> APIRouter:
    """Include the router of every feature that the settings enable."""
    return build_version("/v1", FEATURES, settings)


def explain_tags() -> Mapping[str, str]:
    """Return what each tag of the API pages is, in the order of the features."""
    return {tag: about for feature in FEATURES for tag, about in feature.about.items()}
