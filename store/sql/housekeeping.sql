-- What has been kept long enough, and the partitions of the days to come.

-- name: create_outbox_partition
SELECT outbox_create_partition($1);

-- name: outbox_partitions
SELECT child.relname AS name
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE pg_inherits.inhparent = 'outbox'::regclass AND child.relname LIKE 'outbox\_p%';

-- name: drop_outbox_partition
SELECT outbox_drop_partition($1);

-- name: forget_idempotency_keys
-- Whichever are old enough, in the order they lie: to sort them would read them all.
DELETE FROM idempotency_keys
WHERE ctid = any(
    array(
        SELECT ctid FROM idempotency_keys
        WHERE recorded_at < :before
        LIMIT :rows_max -- noqa: AM09
    )
);

-- name: forget_provider_events
-- As forget_idempotency_keys.
DELETE FROM provider_events
WHERE ctid = any(
    array(
        SELECT ctid FROM provider_events
        WHERE received_at < :before
        LIMIT :rows_max -- noqa: AM09
    )
);
