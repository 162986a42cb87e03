"""Erasure of tenants, and the only functions that remove events of the audit and entries of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import drop_functions, give_functions, provide_definer, rows_open_to_owner

revision = "erasure_of_tenants"
down_revision = "versions_of_files"
branch_labels = None
depends_on = None

ROLE = "ignite_retention"
COUNTS = ("projects", "exports", "other_rows", "kept_events")

# The functions run with the rights of their owner. A login cannot take this role, so nobody else gets past the trigger.
REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    {unless}RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';{then}
END
$$
"""
ERASED_ONLY = """
    IF NOT EXISTS (
        SELECT FROM public.deletions WHERE tenant_id = erased AND id = erased AND kind = 'tenant'
    ) THEN
        RAISE EXCEPTION 'this tenant is not being erased' USING ERRCODE = 'insufficient_privilege';
    END IF;
"""
# What may stay of an erased tenant: that it was made, suspended, exported and erased, when, and on which plans. No
# name, no reason, no address; of those who acted only the operators' keys.
KEPT = "'tenant.created', 'tenant.suspended', 'tenant.resumed', 'tenant.erased', 'subscription.changed', "
KEPT += "'export.started', 'export.downloaded'"
IS_CLEAN = f"""
CREATE FUNCTION is_clean_event(event audit_events) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN event.action IN ({KEPT}) AND event.address IS NULL AND event.request_id IS NULL
    AND (event.actor_kind = 'admin' OR event.actor_id IS NULL)
    AND (event.details = '{{}}' OR event.action IN ('subscription.changed', 'export.started', 'tenant.erased'))
"""
ERASE_EVENTS = f"""
CREATE FUNCTION erase_events(erased uuid, row_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed bigint;
    events bigint;
BEGIN
{ERASED_ONLY}
    DELETE FROM public.audit_events WHERE ctid IN (
        SELECT ctid FROM public.audit_events WHERE tenant_id = erased AND action NOT IN ({KEPT}) LIMIT row_limit
    );
    GET DIAGNOSTICS events = ROW_COUNT;
    UPDATE public.audit_events AS e
    SET address = NULL, request_id = NULL,
        actor_id = CASE actor_kind WHEN 'admin' THEN actor_id END,
        details = CASE WHEN action IN ('subscription.changed', 'export.started', 'tenant.erased') THEN details
            ELSE '{{}}' END
    WHERE ctid IN (
        SELECT k.ctid FROM public.audit_events AS k
        WHERE k.tenant_id = erased AND k.action IN ({KEPT}) AND NOT public.is_clean_event(k) LIMIT row_limit
    );
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN events + changed;
END
$$
"""  # noqa: S608  all parts are constants
ERASE_LEDGER = f"""
CREATE FUNCTION erase_ledger(erased uuid, row_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entries bigint;
BEGIN
{ERASED_ONLY}
    DELETE FROM public.usage_ledger WHERE ctid IN (
        SELECT ctid FROM public.usage_ledger WHERE tenant_id = erased LIMIT row_limit
    );
    GET DIAGNOSTICS entries = ROW_COUNT;
    RETURN entries;
END
$$
"""  # noqa: S608  all parts are constants
# Whoever takes over a worker cannot cover the tracks of the last month.
REMOVE_OLD_EVENTS = """
CREATE FUNCTION remove_old_events(before timestamptz, row_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_tenants bigint;
    of_service bigint;
BEGIN
    IF before > now() - interval '30 days' THEN
        RAISE EXCEPTION 'events of the last 30 days are kept' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM public.audit_events WHERE ctid IN (
        SELECT ctid FROM public.audit_events WHERE created_at < before LIMIT row_limit
    );
    GET DIAGNOSTICS of_tenants = ROW_COUNT;
    DELETE FROM public.admin_events WHERE ctid IN (
        SELECT ctid FROM public.admin_events WHERE created_at < before LIMIT row_limit
    );
    GET DIAGNOSTICS of_service = ROW_COUNT;
    RETURN of_tenants + of_service;
END
$$
"""
SIGNATURES = {
    "erase_events(uuid, integer)": "ignite_system",
    "erase_ledger(uuid, integer)": "ignite_system",
    "remove_old_events(timestamptz, integer)": "ignite_system",
}
# The row is the closure: from its COMMIT on every process refuses the tenant.
NOTIFY = """
CREATE TRIGGER notify_erased AFTER INSERT ON deletions FOR EACH ROW WHEN (NEW.kind = 'tenant')
EXECUTE FUNCTION notify_tenant_access()
"""


def upgrade() -> None:
    receipts()
    provide_definer(ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA public TO {ROLE}")
    op.execute(
        REFUSE_CHANGE.format(
            unless=f"IF current_user <> '{ROLE}' THEN\n        ", then="\n    END IF;\n    RETURN NULL;"
        )
    )
    privileges()
    for function in (IS_CLEAN, ERASE_EVENTS, ERASE_LEDGER, REMOVE_OLD_EVENTS):
        op.execute(function)
    give_functions(ROLE, SIGNATURES)
    for table in ("audit_events", "admin_events"):
        # rows come in the order of time, so a few pages of this kind of index are enough to find the oldest
        op.create_index(f"ix_{table}_created_at", table, ["created_at"], postgresql_using="brin")


def receipts() -> None:
    op.drop_constraint("ck_deletions_kind", "deletions")
    op.create_check_constraint("kind", "deletions", "kind IN ('file', 'project', 'tenant')")
    for name in COUNTS:
        op.add_column("deletions", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_deletions_completed_at", "deletions", ["completed_at"], postgresql_where=sa.text("state = 'completed'")
    )
    op.create_index("ix_deletions_tenants", "deletions", ["tenant_id"], postgresql_where=sa.text("kind = 'tenant'"))
    op.execute(NOTIFY)
    op.execute("CREATE POLICY operator ON deletions FOR SELECT TO ignite_operator USING (kind = 'tenant')")
    op.execute("GRANT SELECT ON deletions TO ignite_operator")


def privileges() -> None:
    op.execute(f"CREATE POLICY retention ON deletions FOR SELECT TO {ROLE} USING (true)")
    op.execute(f"GRANT SELECT ON deletions TO {ROLE}")
    for table in ("audit_events", "usage_ledger"):
        op.execute(f"CREATE POLICY retention ON {table} TO {ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, DELETE ON audit_events, admin_events, usage_ledger TO {ROLE}")
    op.execute(f"GRANT UPDATE (address, request_id, actor_id, details) ON audit_events TO {ROLE}")


def downgrade() -> None:
    """Let erasures end first: a tenant that is being erased is open again after this."""
    for table in ("audit_events", "admin_events"):
        op.drop_index(f"ix_{table}_created_at", table)
    drop_functions(ROLE, SIGNATURES)
    op.execute("DROP FUNCTION is_clean_event(audit_events)")
    op.execute(f"REVOKE ALL ON deletions, audit_events, admin_events, usage_ledger FROM {ROLE}")
    for table in ("deletions", "audit_events", "usage_ledger"):
        op.execute(f"DROP POLICY retention ON {table}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {ROLE}")
    op.execute(REFUSE_CHANGE.format(unless="", then=""))
    op.execute("REVOKE SELECT ON deletions FROM ignite_operator")
    op.execute("DROP POLICY operator ON deletions")
    op.execute("DROP TRIGGER notify_erased ON deletions")
    for index in ("ix_deletions_tenants", "ix_deletions_completed_at"):
        op.drop_index(index, "deletions")
    for name in COUNTS:
        op.drop_column("deletions", name)
    with rows_open_to_owner("deletions"):
        op.execute("DELETE FROM deletions WHERE kind = 'tenant'")
    op.drop_constraint("ck_deletions_kind", "deletions")
    op.create_check_constraint("kind", "deletions", "kind IN ('file', 'project')")
