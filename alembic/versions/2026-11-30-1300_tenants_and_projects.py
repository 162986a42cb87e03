"""The roles, tenants and their projects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "tenants_and_projects"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['ignite_tenant', 'ignite_system', 'ignite_operator'] LOOP
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
# A tenant's transaction can neither suspend nor resume its tenant.
TENANTS_OWN_COLUMNS = "name, plan_id, billing_cycle, updated_at"


def upgrade() -> None:
    op.execute(ROLES)
    op.execute("GRANT USAGE ON SCHEMA public TO ignite_tenant, ignite_system, ignite_operator")
    op.execute("GRANT SELECT ON alembic_version TO ignite_tenant")  # the API's readiness compares it with the code's
    tenants()
    projects()


def tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        sa.Column("suspended_at", sa.DateTime(timezone=True)),
        sa.Column("suspension_reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    protect("tenants", key="id", grant="SELECT, INSERT")
    op.execute(f"GRANT UPDATE ({TENANTS_OWN_COLUMNS}) ON tenants TO ignite_tenant")
    op.execute("CREATE POLICY operator ON tenants TO ignite_operator USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, UPDATE ON tenants TO ignite_operator")


def projects() -> None:
    op.create_table(
        "projects",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text()),
        sa.Column("vector_store_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id", "name"),
    )
    protect("projects")


def downgrade() -> None:
    """The roles stay: they belong to the server, and another database of it may use them."""
    for table in ("projects", "tenants"):
        op.drop_table(table)
    op.execute("REVOKE SELECT ON alembic_version FROM ignite_tenant")
    op.execute("REVOKE USAGE ON SCHEMA public FROM ignite_tenant, ignite_system, ignite_operator")
