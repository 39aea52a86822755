-- How far behind Postgres's readers are, and what waits here for somebody.

-- name: lag_of_slots
-- A standby has no current WAL position of its own and reports what it has received.
SELECT
    slot_name,
    active,
    coalesce(wal_status, 'lost') AS wal_status,
    safe_wal_size,
    (confirmed_flush_lsn - '0/0')::bigint AS confirmed,
    (
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END
        - '0/0'
    )::bigint AS written
FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database()
ORDER BY slot_name;

-- name: lag_of_table_readers
-- Of each sink whose relay reads the table: whether anybody does, and the oldest message that its
-- newest checkpoint does not cover.
WITH covered AS (
    SELECT
        wanted.sink,
        coalesce(max(kept.floor_position), 0) AS floor_position
    FROM unnest($1::text[]) AS wanted (sink)
    LEFT JOIN relay_checkpoints AS kept ON wanted.sink = kept.sink
    GROUP BY wanted.sink
)

SELECT
    covered.sink,
    relay_reads_table(covered.sink) AS active,
    (
        SELECT outbox.recorded_at FROM outbox
        WHERE outbox.position > covered.floor_position
        ORDER BY outbox.position
        LIMIT 1
    ) AS oldest_at
FROM covered
ORDER BY covered.sink;

-- name: waiting_work
-- What waits behind a dead letter is that letter's matter: it alone is counted. This is asked every
-- other second, by several processes, and most of all while a backlog is worked off: what is due
-- is counted in its index alone and no further than to 100,000, those behind letters by their
-- letters, and the oldest is the first one.
SELECT
    'payments' AS kind,
    greatest(0, (
        SELECT count(*)
        FROM (
            SELECT due_at
            FROM open_payments
            WHERE due_at < $1
            ORDER BY due_at
            LIMIT 100000
        ) AS counted
    ) - (
        SELECT count(*)
        FROM dead_letters AS letter
        INNER JOIN payments
            ON letter.queued_for = payments.id AND letter.id = payments.charge_blocked_by
        INNER JOIN open_payments ON payments.id = open_payments.payment_id
        WHERE
            letter.state = 'parked'
            AND payments.operation IS NOT NULL
            AND open_payments.due_at < $1
    )) AS count,
    (
        SELECT open_payments.due_at
        FROM open_payments
        INNER JOIN payments ON open_payments.payment_id = payments.id
        WHERE
            open_payments.due_at < $1
            AND (payments.charge_blocked_by IS NULL OR payments.operation IS NULL)
        ORDER BY open_payments.due_at
        LIMIT 1
    ) AS oldest_at
UNION ALL
SELECT
    'refunds',
    greatest(0, (
        SELECT count(*)
        FROM (
            SELECT due_at
            FROM refunds
            WHERE due_at < $1
            ORDER BY due_at
            LIMIT 100000
        ) AS counted
    ) - (
        SELECT count(*)
        FROM dead_letters AS letter
        INNER JOIN payments
            ON letter.queued_for = payments.id AND letter.id = payments.refund_blocked_by
        INNER JOIN refunds ON payments.id = refunds.payment_id
        WHERE letter.state = 'parked' AND refunds.due_at < $1
    )),
    (
        SELECT refunds.due_at
        FROM refunds
        INNER JOIN payments ON refunds.payment_id = payments.id
        WHERE refunds.due_at < $1 AND payments.refund_blocked_by IS NULL
        ORDER BY refunds.due_at
        LIMIT 1
    )
UNION ALL
SELECT 'dead_letters', count(*), min(first_failed_at)
FROM dead_letters
WHERE state = 'parked' AND last_failed_at > '-infinity' AND reason <> 'waits_behind'
UNION ALL
SELECT 'breaks', count(*), min(occurred_at)
FROM reconciliation_breaks
WHERE state = 'open'
UNION ALL
SELECT 'housekeeping', count(*), min(done_at)
FROM housekeeping
WHERE done_at < $1 - interval '2 hours'
UNION ALL
-- Endpoints, neither left alone nor paused, by the first delivery that could be sent: what comes
-- behind another of its payment cannot, and its time is that of the other.
SELECT 'webhooks', count(*), min(first_due.due_at)
FROM webhook_endpoints AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure
    ON endpoint.id = failure.endpoint_id AND failure.retry_at > $1
CROSS JOIN LATERAL (
    SELECT delivery.due_at FROM webhook_deliveries AS delivery
    WHERE
        delivery.endpoint_id = endpoint.id
        AND delivery.due_at < $1
        AND NOT EXISTS (
            SELECT 1 FROM webhook_deliveries AS earlier
            WHERE
                earlier.endpoint_id = delivery.endpoint_id
                AND earlier.payment_id = delivery.payment_id
                AND earlier.sequence < delivery.sequence
                AND earlier.due_at IS NOT NULL
        )
    ORDER BY delivery.due_at
    LIMIT 1
) AS first_due
WHERE endpoint.state = 'enabled' AND failure.endpoint_id IS NULL;
