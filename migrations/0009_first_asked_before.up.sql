-- When was asked first what a release from before claimed, where it may be attempted again. By
-- itself, so that nobody waits for the table meanwhile. An attempt that was put off, or turned
-- away at the door, never reached its provider.

CREATE VIEW asked_before AS
SELECT
    payment_id,
    refund_id,
    number,
    operation,
    started_at,
    coalesce(outcome, '') <> 'deferred' AND NOT (
        coalesce(outcome, '') = 'retriable' AND coalesce(error_code, '') IN (
            'not_sent', 'unauthorized', 'forbidden', 'rate_limited'
        )
    ) AS was_asked
FROM attempts;

UPDATE payments SET asked_operation = asked.operation, first_asked_at = asked.first_asked_at
FROM (
    SELECT DISTINCT ON (payment_id)
        payment_id,
        operation,
        min(started_at) FILTER (WHERE was_asked)
            OVER (PARTITION BY payment_id, operation) AS first_asked_at
    FROM asked_before
    WHERE refund_id IS NULL
    ORDER BY payment_id ASC, number DESC
) AS asked
WHERE
    payments.id = asked.payment_id
    AND (payments.operation IS NOT NULL OR payments.status IN (
        'authorized', 'failed', 'cancelled'
    ));

UPDATE refunds SET first_asked_at = asked.first_asked_at
FROM (
    SELECT refund_id, min(started_at) FILTER (WHERE was_asked) AS first_asked_at
    FROM asked_before
    WHERE refund_id IS NOT NULL
    GROUP BY refund_id
) AS asked
WHERE refunds.id = asked.refund_id AND refunds.due_at IS NOT NULL;

DROP VIEW asked_before;
