"""Roles, plans, tenants, subscriptions, projects, usage, idempotency keys and the demo items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "foundation"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['ignite_tenant', 'ignite_system'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- roles belong to the server: another database of it made this one
            NULL;
        END;
    END LOOP;
END
$$
"""

PLANS = """
INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap) VALUES
    ('hobby', 'Hobby', 3, 2000, 500000),
    ('pro', 'Pro', 10, 20000, 2000000)
"""


def timestamps() -> tuple[sa.Column[object], sa.Column[object]]:
    """Fresh columns for each table."""
    return (
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def tenant_key(table: str) -> tuple[sa.Column[object] | sa.PrimaryKeyConstraint | sa.ForeignKeyConstraint, ...]:
    """The key of every tenant table."""
    return (
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id_tenants", ondelete="CASCADE"
        ),
    )


def upgrade() -> None:
    op.execute(ROLES)
    op.execute("GRANT USAGE ON SCHEMA public TO ignite_tenant, ignite_system")
    op.execute("GRANT SELECT ON alembic_version TO ignite_tenant")  # the API's readiness compares it with the code's
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    billing()
    usage()
    public()
    op.execute(PLANS)


def billing() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_projects", sa.BigInteger(), nullable=False),
        sa.Column("monthly_message_cap", sa.BigInteger(), nullable=False),
        sa.Column("monthly_upload_char_cap", sa.BigInteger(), nullable=False),
        sa.Column("rate_limit_rpm", sa.Integer()),
        *timestamps(),
        sa.CheckConstraint("max_projects >= 0", name="max_projects"),
        sa.CheckConstraint("monthly_message_cap >= 0", name="monthly_message_cap"),
        sa.CheckConstraint("monthly_upload_char_cap >= 0", name="monthly_upload_char_cap"),
        sa.CheckConstraint("rate_limit_rpm BETWEEN 1 AND 1000000000", name="rate_limit_rpm"),
    )
    op.execute("GRANT SELECT ON plans TO ignite_tenant")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON plans TO ignite_system")
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        *timestamps(),
    )
    protect("tenants", key="id", grant="SELECT, INSERT, UPDATE")
    op.create_table(
        "subscriptions",
        *tenant_key("subscriptions"),
        sa.Column("plan_id", sa.Text(), sa.ForeignKey("plans.id"), nullable=False, index=True),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        sa.Column("billing_anchor", sa.Date(), nullable=False),
        sa.Column("quota_anchor", sa.Date(), nullable=False),
        *timestamps(),
        sa.UniqueConstraint("tenant_id"),
        sa.CheckConstraint("billing_cycle IN ('monthly', 'annual')", name="billing_cycle"),
    )
    protect("subscriptions")
    op.create_table(
        "projects",
        *tenant_key("projects"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text()),
        sa.Column("vector_store_id", sa.Text()),
        *timestamps(),
        sa.UniqueConstraint("tenant_id", "name"),
    )
    protect("projects")


def usage() -> None:
    op.create_table(
        "usage_counters",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("period_start", sa.Date(), primary_key=True),
        sa.Column("used", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        *timestamps(),
        sa.CheckConstraint("used >= 0", name="used"),
        sa.CheckConstraint("reserved >= 0", name="reserved"),
    )
    protect("usage_counters")
    op.create_table(
        "usage_reservations",
        *tenant_key("usage_reservations"),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        *timestamps(),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.CheckConstraint("state IN ('held', 'settled', 'released')", name="state"),
    )
    op.create_index(
        "ix_usage_reservations_held", "usage_reservations", ["expires_at"], postgresql_where=sa.text("state = 'held'")
    )
    protect("usage_reservations")
    op.create_table(
        "usage_daily",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
    protect("usage_daily")


def public() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("route", sa.Text(), primary_key=True),
        sa.Column("key_sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("resource", sa.Text()),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('in_progress', 'completed')", name="state"),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])
    protect("idempotency_keys")
    op.create_table(
        "items",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        *timestamps(),
    )
    op.create_index("ix_items_created_at_id", "items", ["created_at", "id"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON items TO ignite_tenant, ignite_system")


def downgrade() -> None:
    """The roles stay: they belong to the server, and another database of it may use them."""
    for table in (
        "items",
        "idempotency_keys",
        "usage_daily",
        "usage_reservations",
        "usage_counters",
        "projects",
        "subscriptions",
        "tenants",
        "plans",
    ):
        op.drop_table(table)
    op.execute("REVOKE SELECT ON alembic_version FROM ignite_tenant")
    op.execute("REVOKE USAGE ON SCHEMA public FROM ignite_tenant, ignite_system")
