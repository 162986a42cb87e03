"""Prices of plans, scheduled changes of subscriptions, and the ledger of usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "billing_and_ledger"
down_revision = "idempotency_answers"
branch_labels = None
depends_on = None

# what the tables below were kept from so far: the owner is no member of their roles, and FORCE holds it too
FILLED_FROM = ("usage_reservations", "usage_counters", "usage_daily", "usage_ledger")

SETTLED = """
INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason, reservation_id, created_at)
SELECT tenant_id, id, metric, period_start, day, amount, 'settled', id, updated_at
FROM usage_reservations WHERE state = 'settled'
"""

# projects were counted, but by no day: the count of today is where their days begin
OPENING = """
WITH opening AS (
    INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason)
    SELECT tenant_id, gen_random_uuid(), metric, period_start, (now() AT TIME ZONE 'UTC')::date, used, 'opening'
    FROM usage_counters WHERE metric = 'projects' AND used > 0
    RETURNING tenant_id, metric, day, amount
)
INSERT INTO usage_daily (tenant_id, metric, day, amount) SELECT tenant_id, metric, day, amount FROM opening
"""


def upgrade() -> None:
    plans()
    subscriptions()
    ledger()


def plans() -> None:
    op.add_column("plans", sa.Column("monthly_price", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("plans", sa.Column("annual_price", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("plans", sa.Column("currency", sa.Text(), server_default="USD", nullable=False))
    op.add_column("plans", sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_check_constraint("monthly_price", "plans", "monthly_price >= 0")
    op.create_check_constraint("annual_price", "plans", "annual_price >= 0")
    op.create_check_constraint("currency", "plans", "currency ~ '^[A-Z]{3}$'")


def subscriptions() -> None:
    op.add_column("subscriptions", sa.Column("pending_plan_id", sa.Text()))
    op.add_column("subscriptions", sa.Column("pending_billing_cycle", sa.Text()))
    for name in ("pending_on", "ends_on", "past_due_on", "grace_ends_on"):
        op.add_column("subscriptions", sa.Column(name, sa.Date()))
    op.add_column("subscriptions", sa.Column("synced_at", sa.DateTime(timezone=True)))
    op.create_foreign_key(
        op.f("fk_subscriptions_pending_plan_id_plans"), "subscriptions", "plans", ["pending_plan_id"], ["id"]
    )
    for name, condition in (
        ("pending_billing_cycle", "pending_billing_cycle IN ('monthly', 'annual')"),
        ("pending", "num_nulls(pending_plan_id, pending_billing_cycle, pending_on) IN (0, 3)"),
        ("one_end", "pending_on IS NULL OR ends_on IS NULL"),
        ("grace", "num_nulls(past_due_on, grace_ends_on) IN (0, 2)"),
    ):
        op.create_check_constraint(name, "subscriptions", condition)
    op.create_index(
        "ix_subscriptions_pending_on",
        "subscriptions",
        ["pending_on"],
        postgresql_where=sa.text("pending_on IS NOT NULL"),
    )


def ledger() -> None:
    op.create_table(
        "usage_ledger",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.CheckConstraint("reason IN ('settled', 'taken', 'given_back', 'opening')", name="reason"),
    )
    protect("usage_ledger", grant="SELECT, INSERT")
    op.execute("REVOKE UPDATE, DELETE ON usage_ledger FROM ignite_system")
    for table in FILLED_FROM:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(SETTLED)
    op.execute(OPENING)
    for table in FILLED_FROM:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE usage_daily NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM usage_daily WHERE metric = 'projects'")
    op.execute("ALTER TABLE usage_daily FORCE ROW LEVEL SECURITY")
    op.drop_table("usage_ledger")
    for name in ("synced_at", "grace_ends_on", "past_due_on", "ends_on", "pending_on"):
        op.drop_column("subscriptions", name)
    op.drop_column("subscriptions", "pending_billing_cycle")
    op.drop_column("subscriptions", "pending_plan_id")
    for name in ("active", "currency", "annual_price", "monthly_price"):
        op.drop_column("plans", name)
