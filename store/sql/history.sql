-- Archiving the history of payments, a month of theirs at a time.

-- name: is_history_over
-- By the clock that the constraint of `archived_history` goes by.
SELECT :before::timestamptz <= now() - interval '1 day' AS is_over;

-- name: months_of_history
-- Each range whose end has come, with its partition of each table; the oldest first. What has no
-- partner is left alone.
WITH parts AS (
    SELECT
        parent.relname AS of_table, child.relname AS partition_name,
        coalesce(bounds.limits[1], '00000000-0000-0000-0000-000000000000')::uuid AS first_id,
        bounds.limits[2]::uuid AS end_id
    FROM pg_inherits
    INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
    INNER JOIN pg_class AS parent ON pg_inherits.inhparent = parent.oid
    CROSS JOIN LATERAL regexp_match(
        pg_get_expr(child.relpartbound, child.oid),
        'FROM \((?:MINVALUE|''(.*)'')\) TO \(''(.*)''\)'
    ) AS bounds (limits)
    WHERE
        parent.oid IN ('payment_events'::regclass, 'attempts'::regclass)
        AND bounds.limits IS NOT NULL
)

SELECT
    first_id, end_id,
    CASE
        WHEN first_id > '00000000-0000-0000-0000-000000000000'
            THEN to_char(first_instant_of(first_id), 'YYYY-MM')
        ELSE 'before-' || to_char(first_instant_of(end_id), 'YYYY-MM')
    END AS label,
    array_agg(of_table::text ORDER BY of_table) AS tables,
    array_agg(partition_name::text ORDER BY of_table) AS partitions
FROM parts
WHERE end_id <= :before_id
GROUP BY first_id, end_id
HAVING count(*) = 2
ORDER BY first_id;

-- name: unfinished_archives
-- What was detached and not dropped.
SELECT first_id, end_id, label, tables, leftovers AS partitions FROM archived_history
WHERE leftovers <> '{}'
ORDER BY first_id;

-- name: history_in_use
SELECT payment_id, reason FROM history_in_use(:first_id, :end_id)
ORDER BY payment_id
LIMIT 20;

-- name: history_lines
-- The statement that reads a partition's rows as lines, in the order of what holds them together.
SELECT
    format(
        'SELECT to_json(kept)::text AS line FROM %I AS kept ORDER BY %s',
        :partition::text,
        CASE :table::text
            WHEN 'attempts' THEN 'payment_id, coalesce(refund_id, payment_id), number'
            ELSE 'payment_id, version'
        END
    ) AS statement;

-- name: detach_history
SELECT
    history_detach(
        :first_id, :end_id, :tables::text[], :partitions::text[], :manifest, :label,
        :payment_events, :attempts
    );

-- name: drop_detached_history
SELECT history_drop(:first_id, :payment_events, :attempts);

-- name: archived_at
-- When the history of a payment, up to then, was archived.
SELECT archived_at FROM archived_history
WHERE first_id <= :payment_id AND end_id > :payment_id;
