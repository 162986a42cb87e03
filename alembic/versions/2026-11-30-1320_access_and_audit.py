"""API keys, admin keys, and the audit, which nobody can change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "access_and_audit"
down_revision = "billing_and_usage"
branch_labels = None
depends_on = None

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    api_keys()
    admin_keys()
    audit()


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
    # no foreign key: an entry outlives the tenant that it is about
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
    protect("audit_events", grant="SELECT, INSERT", system_grant="SELECT, INSERT")
    op.execute("CREATE POLICY operator ON audit_events TO ignite_operator USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT ON audit_events TO ignite_operator")
    op.execute("GRANT SELECT, INSERT ON admin_events TO ignite_operator, ignite_system")


def downgrade() -> None:
    for table in ("admin_events", "audit_events", "admin_keys", "api_keys"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
