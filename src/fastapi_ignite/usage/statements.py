"""SQL of counters, reservations, ledger and months. Each decision is one statement that locks one row."""

from __future__ import annotations

from sqlalchemy import text

from fastapi_ignite.billing.stored_subscription import COLUMNS, TABLES
from fastapi_ignite.infra.db import FixedStatement

# The terms of a day: the plan (with scheduled changes that are due), its cap, and the month in which the cap counts.
# `billing.terms` computes the same for reading. Here it is part of the statement that decides, so that no change of
# the plan can happen in between, and no query is needed before.
_TERMS = """
WITH terms AS (
    SELECT
        CASE :metric
            WHEN 'projects' THEN p.max_projects
            WHEN 'messages' THEN p.monthly_message_cap
            WHEN 'characters' THEN p.monthly_upload_char_cap
        END AS cap,
        CASE :metric WHEN 'projects' THEN DATE '1970-01-01'
            ELSE CAST(s.quota_anchor + make_interval(months => month.number) AS date) END AS period_start,
        CASE :metric WHEN 'projects' THEN NULL
            ELSE CAST(s.quota_anchor + make_interval(months => month.number + 1) AS date) END AS resets_on
    FROM subscriptions AS s
    JOIN plans AS p ON p.id = CASE WHEN s.pending_on <= :day THEN s.pending_plan_id ELSE s.plan_id END
    CROSS JOIN LATERAL (
        SELECT CAST(
            (extract(year FROM CAST(:day AS date)) - extract(year FROM s.quota_anchor)) * 12
            + extract(month FROM CAST(:day AS date)) - extract(month FROM s.quota_anchor) AS integer
        ) AS number
    ) AS elapsed
    CROSS JOIN LATERAL (
        SELECT greatest(0, elapsed.number - CAST(
            s.quota_anchor + make_interval(months => elapsed.number) > :day AS integer
        )) AS number
    ) AS month
    WHERE s.tenant_id = :tenant_id
      AND coalesce(s.ends_on > :day, true) AND coalesce(s.grace_ends_on > :day, true)
), counter AS (
    INSERT INTO usage_counters AS c (tenant_id, metric, period_start, {column})
    SELECT :tenant_id, :metric, period_start, CAST(:amount AS bigint) FROM terms WHERE CAST(:amount AS bigint) <= cap
    ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
    SET {column} = c.{column} + excluded.{column}, updated_at = now()
    WHERE c.used + c.reserved + excluded.{column} <= (SELECT cap FROM terms)
        OR excluded.{column} = 0  -- what is free fits a plan that has become smaller, too
    RETURNING period_start, used, reserved
)"""

RESERVE = FixedStatement(f"""{_TERMS.format(column="reserved")}, reservation AS (
    INSERT INTO usage_reservations (tenant_id, id, metric, period_start, day, amount, state, expires_at)
    SELECT :tenant_id, part.id, :metric, period_start, :day, part.amount, 'held', :expires_at
    FROM counter CROSS JOIN unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) AS part (id, amount)
)
SELECT cap, used, reserved, resets_on FROM counter CROSS JOIN terms
""")  # noqa: S608  all parts are constants

SETTLE = FixedStatement("""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'settled', updated_at = now()
    WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[])) AND state = 'held'
    RETURNING tenant_id, id, metric, period_start, day, amount
), entry AS (
    INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason, reservation_id)
    SELECT tenant_id, entry_id, metric, period_start, day, amount, 'settled', id
    FROM reservation JOIN unnest(CAST(:ids AS uuid[]), CAST(:entry_ids AS uuid[])) AS entry (id, entry_id) USING (id)
), daily AS (
    INSERT INTO usage_daily AS d (tenant_id, metric, day, amount)
    SELECT tenant_id, metric, day, sum(amount) FROM reservation GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, metric, day) DO UPDATE SET amount = d.amount + excluded.amount, updated_at = now()
), counter AS (
    UPDATE usage_counters c SET reserved = c.reserved - r.amount, used = c.used + r.amount, updated_at = now()
    FROM (SELECT tenant_id, metric, period_start, sum(amount) AS amount FROM reservation GROUP BY 1, 2, 3) r
    WHERE (c.tenant_id, c.metric, c.period_start) = (r.tenant_id, r.metric, r.period_start)
)
SELECT id FROM reservation
""")

# The released units leave the counters, which are locked in one order.
_SUBTRACT = """), sums AS (
    SELECT tenant_id, metric, period_start, sum(amount) AS amount FROM reservation GROUP BY 1, 2, 3
), locked AS (
    SELECT tenant_id, metric, period_start, sums.amount
    FROM sums JOIN usage_counters USING (tenant_id, metric, period_start)
    ORDER BY 1, 2, 3 FOR UPDATE OF usage_counters
)
UPDATE usage_counters c SET reserved = c.reserved - l.amount, updated_at = now()
FROM locked l
WHERE (c.tenant_id, c.metric, c.period_start) = (l.tenant_id, l.metric, l.period_start)
"""

RELEASE = FixedStatement(f"""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'released', updated_at = now()
    WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[])) AND state = 'held'
    RETURNING tenant_id, metric, period_start, amount
{_SUBTRACT}""")  # noqa: S608  all parts are constants

_COUNT = """, entry AS (
    INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason)
    SELECT :tenant_id, :entry_id, :metric, period_start, :day, CAST(:amount AS bigint), :reason FROM counter
), daily AS (
    INSERT INTO usage_daily AS d (tenant_id, metric, day, amount)
    SELECT :tenant_id, :metric, :day, CAST(:amount AS bigint) FROM counter
    ON CONFLICT (tenant_id, metric, day) DO UPDATE SET amount = d.amount + excluded.amount, updated_at = now()
)"""

TAKE = FixedStatement(f"""{_TERMS.format(column="used")}{_COUNT}
SELECT cap, used, reserved, resets_on FROM counter CROSS JOIN terms
""")  # noqa: S608  all parts are constants

GIVE_BACK = FixedStatement(f"""
WITH counter AS (
    UPDATE usage_counters SET used = used + CAST(:amount AS bigint), updated_at = now()
    WHERE tenant_id = :tenant_id AND metric = :metric AND period_start = :period_start
    RETURNING period_start, used, reserved
){_COUNT}
SELECT used FROM counter
""")  # noqa: S608  all parts are constants

# A month has 31 days at most, and the only window of projects begins in 1970.
OVERVIEW = FixedStatement(f"""
SELECT {COLUMNS}, c.metric, c.period_start, c.used
FROM {TABLES}
LEFT JOIN usage_counters AS c ON c.tenant_id = s.tenant_id
    AND (c.period_start = DATE '1970-01-01' OR c.period_start BETWEEN CAST(:day AS date) - 31 AND :day)
WHERE s.tenant_id = :tenant_id
""")  # noqa: S608  all parts are constants

RELEASE_EXPIRED = text(f"""
WITH expired AS (
    SELECT tenant_id, id FROM usage_reservations WHERE state = 'held' AND expires_at <= :now
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
), reservation AS (
    UPDATE usage_reservations AS r SET state = 'released', updated_at = now()
    FROM expired WHERE (r.tenant_id, r.id) = (expired.tenant_id, expired.id)
    RETURNING r.tenant_id, r.metric, r.period_start, r.amount
{_SUBTRACT}""")  # noqa: S608  all parts are constants

REMOVE_ENDED = text("""
WITH ended AS (
    SELECT tenant_id, id FROM usage_reservations WHERE created_at < :before AND state <> 'held'
    LIMIT :limit FOR UPDATE SKIP LOCKED
)
DELETE FROM usage_reservations AS r USING ended WHERE (r.tenant_id, r.id) = (ended.tenant_id, ended.id)
RETURNING r.id
""")

ADD_WATERMARK = text("""
INSERT INTO usage_watermarks (name, reached) VALUES (:name, 'epoch') ON CONFLICT DO NOTHING
""")

WATERMARK = text("SELECT reached, now() AS now FROM usage_watermarks WHERE name = :name")

LOCK_WATERMARK = text("SELECT 1 FROM usage_watermarks WHERE name = :name FOR UPDATE")

SUM_MONTHS = text("""
WITH changed AS (
    SELECT DISTINCT tenant_id, metric, date_trunc('month', day)::date AS month
    FROM usage_daily
    WHERE updated_at >= :since
      AND (tenant_id, metric, date_trunc('month', day)::date) > (:tenant_id, :metric, :month)
    ORDER BY 1, 2, 3
    LIMIT :limit
), present AS MATERIALIZED (
    -- a tenant that is erased at this moment would fail the whole statement
    SELECT id FROM tenants WHERE id IN (SELECT tenant_id FROM changed) ORDER BY id FOR KEY SHARE
), written AS (
    INSERT INTO usage_monthly (tenant_id, metric, month, amount)
    SELECT c.tenant_id, c.metric, c.month, sum(d.amount)
    FROM changed AS c
    JOIN present ON present.id = c.tenant_id
    JOIN usage_daily AS d
      ON (d.tenant_id, d.metric) = (c.tenant_id, c.metric)
     AND d.day >= c.month AND d.day < c.month + interval '1 month'
    GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, metric, month) DO UPDATE SET amount = excluded.amount
)
SELECT tenant_id, metric, month FROM changed ORDER BY 1, 2, 3
""")

ADVANCE_WATERMARK = text("UPDATE usage_watermarks SET reached = greatest(reached, :reached) WHERE name = :name")
