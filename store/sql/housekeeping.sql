-- What is due, and what has been kept long enough.

-- name: due_payments
-- Who owes nothing and is due was authorized, and not captured in time. Who waits behind a dead
-- letter is let be: another message would only join the queue.
SELECT id, operation IS NULL AS has_expired FROM payments
WHERE due_at <= $1 AND (charge_blocked_by IS NULL OR operation IS NULL)
ORDER BY due_at
LIMIT $2;

-- name: due_refunds
SELECT refunds.id
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE refunds.due_at <= $1 AND payments.refund_blocked_by IS NULL
ORDER BY refunds.due_at
LIMIT $2;

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
        WHERE recorded_at < $1
        LIMIT $2 -- noqa: AM09
    )
);

-- name: forget_provider_events
-- As forget_idempotency_keys.
DELETE FROM provider_events
WHERE ctid = any(
    array(
        SELECT ctid FROM provider_events
        WHERE received_at < $1
        LIMIT $2 -- noqa: AM09
    )
);
