"""Notices of changes of what a tenant may do, so that API processes need not ask at every request."""

from __future__ import annotations

from alembic import op

revision = "tenant_access_notices"
down_revision = "vector_search"
branch_labels = None
depends_on = None

# The payload is the id of a tenant, or empty for all tenants. PostgreSQL sends equal notices of a transaction once.
NOTIFY = """
CREATE FUNCTION notify_tenant_access() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'plans' THEN
        PERFORM pg_notify('ignite_tenant_access', '');
    ELSIF TG_TABLE_NAME = 'tenants' THEN
        PERFORM pg_notify('ignite_tenant_access', CAST(coalesce(NEW.id, OLD.id) AS text));
    ELSE
        PERFORM pg_notify('ignite_tenant_access', CAST(coalesce(NEW.tenant_id, OLD.tenant_id) AS text));
    END IF;
    RETURN NULL;
END
$$
"""
# A transaction with a notice takes a lock of the whole server when it commits. So an update notifies only if it changes
# what `billing.repository.read_access` makes of the row: the provider's payment status changes far more often.
ACCESS = {
    "tenants": ("suspended_at",),
    "subscriptions": ("plan_id", "pending_plan_id", "pending_on", "ends_on", "grace_ends_on"),
    "plans": ("rate_limit_rpm",),
}


def upgrade() -> None:
    op.execute(NOTIFY)
    for table, columns in ACCESS.items():
        old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
        op.execute(
            f"CREATE TRIGGER notify_changed AFTER UPDATE ON {table} FOR EACH ROW "
            f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION notify_tenant_access()"
        )
    for table in ("tenants", "subscriptions"):
        op.execute(
            f"CREATE TRIGGER notify_added_or_removed AFTER INSERT OR DELETE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION notify_tenant_access()"
        )


def downgrade() -> None:
    op.execute("DROP FUNCTION notify_tenant_access() CASCADE")
