"""API keys, admin keys, the audit, suspension of tenants, and a role for administrators."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "access"
down_revision = "lexical_plan"
branch_labels = None
depends_on = None

ROLE = """
DO $$
BEGIN
    CREATE ROLE ignite_operator NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- roles belong to the server: another database of it made this one
    NULL;
END
$$
"""
REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""
OPERATED = {"tenants": "SELECT, UPDATE", "subscriptions": "SELECT", "audit_events": "SELECT, INSERT"}
# A tenant's transaction can neither suspend nor resume its tenant.
TENANTS_OWN_COLUMNS = "name, plan_id, billing_cycle, updated_at"


def upgrade() -> None:
    op.execute(ROLE)
    op.execute("GRANT USAGE ON SCHEMA public TO ignite_operator")
    op.add_column("tenants", sa.Column("suspended_at", sa.DateTime(timezone=True)))
    op.add_column("tenants", sa.Column("suspension_reason", sa.Text()))
    op.execute("REVOKE UPDATE ON tenants FROM ignite_tenant")
    op.execute(f"GRANT UPDATE ({TENANTS_OWN_COLUMNS}) ON tenants TO ignite_tenant")
    api_keys()
    audit()
    admin_keys()
    for table, grant in OPERATED.items():
        op.execute(f"CREATE POLICY operator ON {table} TO ignite_operator USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {grant} ON {table} TO ignite_operator")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON plans TO ignite_operator")


def api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scopes", ARRAY(sa.Text())),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("replaced_by", sa.Uuid()),
        sa.UniqueConstraint("tenant_id", "digest"),
        sa.CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="role"),
    )
    protect("api_keys", grant="SELECT, INSERT, UPDATE")


def audit() -> None:
    op.execute(REFUSE_CHANGE)
    columns = (
        ("actor_kind", sa.Text, False),
        ("actor_id", sa.Text, True),
        ("action", sa.Text, False),
        ("target", sa.Text, True),
        ("details", JSONB, False),
        ("request_id", sa.Text, True),
        ("address", sa.Text, True),
    )
    for table, scope in (("audit_events", ["tenant_id"]), ("admin_events", [])):
        op.create_table(
            table,
            *(sa.Column(name, sa.Uuid(), primary_key=True) for name in (*scope, "id")),
            sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
            *(sa.Column(name, kind(), nullable=nullable) for name, kind, nullable in columns),
        )
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    # no foreign key: what was done outlives the tenant it was done to
    protect("audit_events", grant="SELECT, INSERT", system_grant="SELECT, INSERT")
    op.execute("GRANT SELECT, INSERT ON admin_events TO ignite_operator")
    op.execute("GRANT SELECT, INSERT ON admin_events TO ignite_system")


def admin_keys() -> None:
    op.create_table(
        "admin_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON admin_keys TO ignite_operator")


def downgrade() -> None:
    """The roles stay: another database of the server may use them."""
    for table in ("admin_keys", "admin_events", "audit_events", "api_keys"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
    for table in ("tenants", "subscriptions"):
        op.execute(f"DROP POLICY operator ON {table}")
        op.execute(f"REVOKE ALL ON {table} FROM ignite_operator")
    op.execute("REVOKE ALL ON plans FROM ignite_operator")
    op.execute("REVOKE USAGE ON SCHEMA public FROM ignite_operator")
    op.execute(f"REVOKE UPDATE ({TENANTS_OWN_COLUMNS}) ON tenants FROM ignite_tenant")
    op.execute("GRANT UPDATE ON tenants TO ignite_tenant")
    op.drop_column("tenants", "suspension_reason")
    op.drop_column("tenants", "suspended_at")
