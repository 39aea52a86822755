-- What is due, by the clock.

-- name: due_payments
-- Due since then. Who owes nothing and is due was authorized, and not captured in time. Who waits
-- behind a dead letter is let be: another message would only join the queue. So is who was sent to
-- a stage, and has not been taken: it is sent again by and by (untaken_payments).
SELECT payments.id, payments.operation IS NULL AS has_expired
FROM open_payments
INNER JOIN payments ON open_payments.payment_id = payments.id
WHERE
    open_payments.due_at > :since
    AND open_payments.due_at <= :now
    AND open_payments.payment_id <> all(:passed_over::uuid[])
    AND (payments.charge_blocked_by IS NULL OR payments.operation IS NULL)
    AND (
        payments.operation IS NULL
        OR payments.lease_id IS NOT NULL
        OR payments.due_at < payments.updated_at + :patience
    )
ORDER BY open_payments.due_at
LIMIT :rows_max;

-- name: due_refunds
SELECT refunds.id
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE
    refunds.due_at > :since
    AND refunds.due_at <= :now
    AND refunds.id <> all(:passed_over::uuid[])
    AND payments.refund_blocked_by IS NULL
    AND (refunds.lease_id IS NOT NULL OR refunds.due_at < refunds.updated_at + :patience)
ORDER BY refunds.due_at
LIMIT :rows_max;

-- name: untaken_payments
-- Sent a patience ago or longer and not taken since: of a lane's, the newest first.
SELECT open_payments.payment_id AS id
FROM open_payments
CROSS JOIN LATERAL ( -- noqa: ST05
    SELECT payments.id FROM payments
    WHERE
        payments.id = open_payments.payment_id
        AND payments.provider = :provider
        AND payments.charge_blocked_by IS NULL
        AND payments.operation = any(:operations::text[])
        AND payments.lease_id IS NULL
        AND payments.due_at >= payments.updated_at + :patience
    ORDER BY payments.id
    LIMIT 1
) AS untaken
WHERE
    open_payments.due_at <= :now
    AND open_payments.payment_id <> all(:passed_over::uuid[])
ORDER BY open_payments.due_at DESC
LIMIT :rows_max;

-- name: untaken_refunds
SELECT refunds.id
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE
    payments.provider = :provider
    AND refunds.due_at <= :now
    AND payments.refund_blocked_by IS NULL
    AND refunds.lease_id IS NULL
    AND refunds.due_at >= refunds.updated_at + :patience
    AND refunds.id <> all(:passed_over::uuid[])
ORDER BY refunds.due_at DESC
LIMIT :rows_max;

-- name: sent_payments
-- Which of these are as they were when they were sent again, and not due once more.
SELECT payments.id
FROM payments
INNER JOIN unnest(:ids::uuid[], :versions::int[]) AS sent (id, version)
    ON payments.id = sent.id AND payments.version = sent.version
WHERE payments.due_at > :now;

-- name: sent_refunds
SELECT refunds.id
FROM refunds
INNER JOIN unnest(:ids::uuid[], :versions::int[]) AS sent (id, version)
    ON refunds.id = sent.id AND refunds.version = sent.version
WHERE refunds.due_at > :now;

-- name: traces_of
-- Of payments and of refunds the trace in which their payment was last spoken of, for as long as
-- the outbox has that: an event's row there has its time and its id.
SELECT
    asked.id,
    outbox.traceparent,
    outbox.tracestate
FROM unnest(:ids::uuid[]) AS asked (id)
LEFT JOIN LATERAL ( -- noqa: ST05
    SELECT refunds.payment_id FROM refunds
    WHERE refunds.id = asked.id
    ORDER BY refunds.id
    LIMIT 1
) AS refunded ON TRUE
CROSS JOIN LATERAL ( -- noqa: ST05
    SELECT
        payment_events.id,
        payment_events.occurred_at
    FROM payment_events
    WHERE
        payment_events.payment_id = coalesce(refunded.payment_id, asked.id)
        AND payment_events.sequence IS NOT NULL
    ORDER BY payment_events.version DESC
    LIMIT 1
) AS said
INNER JOIN outbox ON said.occurred_at = outbox.recorded_at AND said.id = outbox.id
WHERE outbox.traceparent IS NOT NULL;
