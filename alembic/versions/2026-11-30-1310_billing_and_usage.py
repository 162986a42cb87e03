"""Plans, subscriptions, and what tenants use: counters, reservations, the ledger, and sums by day and month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "billing_and_usage"
down_revision = "tenants_and_projects"
branch_labels = None
depends_on = None

PLANS = """
INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap) VALUES
    ('hobby', 'Hobby', 3, 2000, 500000),
    ('pro', 'Pro', 10, 20000, 2000000)
"""


def timestamps() -> tuple[sa.Column[object], sa.Column[object]]:
    return (
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def upgrade() -> None:
    plans()
    subscriptions()
    usage_counters()
    usage_reservations()
    usage_ledger()
    usage_sums()


def plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_projects", sa.BigInteger(), nullable=False),
        sa.Column("monthly_message_cap", sa.BigInteger(), nullable=False),
        sa.Column("monthly_upload_char_cap", sa.BigInteger(), nullable=False),
        sa.Column("rate_limit_rpm", sa.Integer()),
        sa.Column("monthly_price", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("annual_price", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        *timestamps(),
        sa.CheckConstraint("max_projects >= 0", name="max_projects"),
        sa.CheckConstraint("monthly_message_cap >= 0", name="monthly_message_cap"),
        sa.CheckConstraint("monthly_upload_char_cap >= 0", name="monthly_upload_char_cap"),
        sa.CheckConstraint("rate_limit_rpm BETWEEN 1 AND 1000000000", name="rate_limit_rpm"),
        sa.CheckConstraint("monthly_price >= 0", name="monthly_price"),
        sa.CheckConstraint("annual_price >= 0", name="annual_price"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )
    op.execute("GRANT SELECT ON plans TO ignite_tenant")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON plans TO ignite_system, ignite_operator")
    op.execute(PLANS)


def subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("plan_id", sa.Text(), sa.ForeignKey("plans.id"), nullable=False, index=True),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        sa.Column("billing_anchor", sa.Date(), nullable=False),
        sa.Column("quota_anchor", sa.Date(), nullable=False),
        sa.Column("pending_plan_id", sa.Text(), sa.ForeignKey("plans.id")),
        sa.Column("pending_billing_cycle", sa.Text()),
        sa.Column("pending_on", sa.Date()),
        sa.Column("ends_on", sa.Date()),
        sa.Column("past_due_on", sa.Date()),
        sa.Column("grace_ends_on", sa.Date()),
        sa.Column("synced_at", sa.DateTime(timezone=True)),
        *timestamps(),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id"),
        sa.CheckConstraint("billing_cycle IN ('monthly', 'annual')", name="billing_cycle"),
        sa.CheckConstraint("pending_billing_cycle IN ('monthly', 'annual')", name="pending_billing_cycle"),
        sa.CheckConstraint("num_nulls(pending_plan_id, pending_billing_cycle, pending_on) IN (0, 3)", name="pending"),
        sa.CheckConstraint("pending_on IS NULL OR ends_on IS NULL", name="one_end"),
        sa.CheckConstraint("num_nulls(past_due_on, grace_ends_on) IN (0, 2)", name="grace"),
    )
    op.create_index(
        "ix_subscriptions_pending_on",
        "subscriptions",
        ["pending_on"],
        postgresql_where=sa.text("pending_on IS NOT NULL"),
    )
    protect("subscriptions")
    op.execute("CREATE POLICY operator ON subscriptions TO ignite_operator USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT ON subscriptions TO ignite_operator")


def usage_counters() -> None:
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


def usage_reservations() -> None:
    op.create_table(
        "usage_reservations",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
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


def usage_ledger() -> None:
    op.create_table(
        "usage_ledger",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("reason IN ('settled', 'taken', 'given_back', 'opening')", name="reason"),
    )
    # no role may change or remove an entry
    protect("usage_ledger", grant="SELECT, INSERT", system_grant="SELECT, INSERT")


def usage_sums() -> None:
    op.create_table(
        "usage_daily",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_usage_daily_updated_at", "usage_daily", ["updated_at"])
    protect("usage_daily")
    op.create_table(
        "usage_monthly",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("month", sa.Date(), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
    protect("usage_monthly", grant="SELECT")
    op.create_table(
        "usage_watermarks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("reached", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON usage_watermarks TO ignite_system")


def downgrade() -> None:
    for table in (
        "usage_watermarks",
        "usage_monthly",
        "usage_daily",
        "usage_ledger",
        "usage_reservations",
        "usage_counters",
        "subscriptions",
        "plans",
    ):
        op.drop_table(table)
