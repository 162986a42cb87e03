"""SQL of what uploads in progress reserve of a tenant's storage. Each decision is one statement under one row lock.

Every transaction here locks the upload's row before the tenant's, so that no two of them wait for each other.
"""

from __future__ import annotations

from sqlalchemy import text

from fastapi_ignite.infra.db import FixedStatement

ADD_UPLOAD = FixedStatement("""
INSERT INTO uploads (tenant_id, id, reserved_bytes, reserved_files, lease_until)
VALUES (:tenant_id, :id, 0, 0, :lease_until)
""")

ADD_USAGE = FixedStatement("""
INSERT INTO storage_usage (tenant_id) VALUES (:tenant_id) ON CONFLICT DO NOTHING
""")

EXTEND = FixedStatement("""
UPDATE uploads SET lease_until = :lease_until WHERE tenant_id = :tenant_id AND id = :id RETURNING id
""")

RESERVE = FixedStatement("""
WITH reserved AS (
    UPDATE storage_usage SET reserved_bytes = reserved_bytes + CAST(:bytes AS bigint),
        reserved_files = reserved_files + CAST(:files AS bigint)
    WHERE tenant_id = :tenant_id
      AND stored_bytes + reserved_bytes + CAST(:bytes AS bigint) <= CAST(:max_stored_bytes AS bigint)
      AND reserved_bytes + CAST(:bytes AS bigint) <= CAST(:max_in_flight_bytes AS bigint)
      AND unfinished_files + reserved_files + CAST(:files AS bigint) <= CAST(:max_queued_files AS bigint)
    RETURNING tenant_id
)
UPDATE uploads u SET reserved_bytes = u.reserved_bytes + CAST(:bytes AS bigint),
    reserved_files = u.reserved_files + CAST(:files AS bigint)
FROM reserved WHERE u.tenant_id = reserved.tenant_id AND u.id = :id
RETURNING u.id
""")

USAGE = FixedStatement("""
SELECT stored_bytes, reserved_bytes, unfinished_files, reserved_files FROM storage_usage
WHERE tenant_id = :tenant_id FOR UPDATE
""")

END = FixedStatement("""
WITH ended AS (
    DELETE FROM uploads WHERE tenant_id = :tenant_id AND id = :id
    RETURNING tenant_id, id, reserved_bytes, reserved_files
)
UPDATE storage_usage u SET reserved_bytes = u.reserved_bytes - ended.reserved_bytes,
    reserved_files = u.reserved_files - ended.reserved_files
FROM ended WHERE u.tenant_id = ended.tenant_id
RETURNING ended.id
""")

END_EXPIRED = text("""
WITH expired AS (
    SELECT tenant_id, id FROM uploads WHERE lease_until <= :now
    ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
), ended AS (
    DELETE FROM uploads AS u USING expired WHERE (u.tenant_id, u.id) = (expired.tenant_id, expired.id)
    RETURNING u.tenant_id, u.reserved_bytes, u.reserved_files
), sums AS (
    SELECT tenant_id, sum(reserved_bytes) AS bytes, sum(reserved_files) AS files FROM ended GROUP BY tenant_id
), locked AS (
    SELECT tenant_id, sums.bytes, sums.files FROM sums JOIN storage_usage USING (tenant_id)
    ORDER BY tenant_id FOR UPDATE OF storage_usage
)
UPDATE storage_usage u SET reserved_bytes = u.reserved_bytes - locked.bytes,
    reserved_files = u.reserved_files - locked.files
FROM locked WHERE u.tenant_id = locked.tenant_id
RETURNING u.tenant_id
""")
