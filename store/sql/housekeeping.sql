-- What has been kept long enough, and the partitions of the days to come.

-- name: limit_housekeeping
-- An insert that comes behind DDL waits for as long as the DDL waits for a reader.
SELECT
    set_config('lock_timeout', '100ms', TRUE),
    set_config('statement_timeout', '30min', TRUE);

-- name: alone_in_housekeeping
-- Who does this at the same time takes the same one.
SELECT pg_try_advisory_xact_lock(hashtext('payments housekeeping'));

-- name: make_partition
SELECT
    partition_make(
        :parent::text::regclass, :first_at::timestamptz, :end_at::timestamptz, :rows_max::integer
    );

-- name: drop_outbox_day
SELECT outbox_drop(:dropped::text, :kept_since::timestamptz);

-- name: partitions_of
SELECT child.relname AS name
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE pg_inherits.inhparent = to_regclass(:parent::text)
ORDER BY child.relname;

-- name: first_month_of_history
-- Where the first of a table's partitions ends; where it was all archived, where that ends.
SELECT
    coalesce(
        min(first_instant_of(bounds.upper[1]::uuid)),
        (SELECT max(first_instant_of(gone.end_id)) FROM archived_history AS gone)
    )::date AS month
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(child.relpartbound, child.oid), 'TO \(''(.*)''\)'
) AS bounds (upper)
WHERE pg_inherits.inhparent = to_regclass(:parent::text);

-- name: archived_months
SELECT first_instant_of(first_id)::date AS month FROM archived_history;

-- name: days_in_outbox_default
-- One look-up by the key a day, and not one row a row.
WITH RECURSIVE days AS (
    (
        SELECT (outbox_default.recorded_at AT TIME ZONE 'UTC')::date AS day
        FROM outbox_default
        ORDER BY outbox_default.recorded_at
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT (caught.recorded_at AT TIME ZONE 'UTC')::date
        FROM outbox_default AS caught
        WHERE caught.recorded_at >= (days.day + 1)::timestamp AT TIME ZONE 'UTC'
        ORDER BY caught.recorded_at
        LIMIT 1
    ) AS day
    FROM days
    WHERE days.day IS NOT NULL
)

SELECT day FROM days
WHERE day IS NOT NULL
ORDER BY day DESC
LIMIT :days_max;

-- name: holders_of_tables
-- Whose transaction has held a lock on one of the tables for a second: whoever asks for a strong
-- one would wait for it, and all others behind. Who may not see a transaction's age fears it.
SELECT
    activity.pid,
    coalesce(nullif(activity.application_name, ''), activity.backend_type) AS application,
    activity.xact_start AS since,
    string_agg(DISTINCT locks.relation::regclass::text, ', ') AS tables
FROM pg_locks AS locks
INNER JOIN pg_stat_activity AS activity ON locks.pid = activity.pid
WHERE
    locks.locktype = 'relation' AND locks.granted
    AND activity.datname = current_database()
    AND locks.relation IN (SELECT to_regclass(unnest(:tables::text[])))
    AND activity.pid <> pg_backend_pid()
    AND coalesce(activity.xact_start < clock_timestamp() - interval '1 second', TRUE)
GROUP BY activity.pid, application, activity.xact_start
ORDER BY activity.xact_start;

-- name: note_housekeeping
INSERT INTO housekeeping AS kept (step, done_at, refused_at, refusal)
VALUES (
    :step::text, :now::timestamptz,
    CASE WHEN :refusal::text IS NOT NULL THEN :now::timestamptz END, :refusal::text
)
ON CONFLICT (step) DO UPDATE SET
    done_at = CASE WHEN excluded.refusal IS NULL THEN excluded.done_at ELSE kept.done_at END,
    refused_at = excluded.refused_at,
    refusal = excluded.refusal;

-- name: forget_idempotency_keys
-- The oldest first, a part at a time.
DELETE FROM idempotency_keys
WHERE ctid = any(
    array(
        SELECT ctid FROM idempotency_keys
        WHERE recorded_at < :before
        ORDER BY recorded_at
        LIMIT :rows_max
    )
);

-- name: forget_provider_events
DELETE FROM provider_events
WHERE ctid = any(
    array(
        SELECT ctid FROM provider_events
        WHERE received_at < :before
        ORDER BY received_at
        LIMIT :rows_max
    )
);
