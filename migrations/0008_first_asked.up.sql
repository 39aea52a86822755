-- Whatever a provider was asked for before is asked after before it is asked for again, and its
-- memory of our key is counted from the first time. What a release from before this one claims
-- has no such time: its later attempts ask as that release did.

ALTER TABLE payments
ADD COLUMN asked_operation text CHECK (asked_operation IN (
    'charge', 'authorize', 'capture', 'void'
)),
ADD COLUMN first_asked_at timestamptz;
ALTER TABLE refunds ADD COLUMN first_asked_at timestamptz;

-- Only what may be attempted again; a deferred attempt never reached the provider.
UPDATE payments SET asked_operation = asked.operation, first_asked_at = asked.first_asked_at
FROM (
    SELECT DISTINCT ON (payment_id)
        payment_id,
        operation,
        min(started_at) OVER (PARTITION BY payment_id, operation) AS first_asked_at
    FROM attempts
    WHERE refund_id IS NULL AND outcome IS DISTINCT FROM 'deferred'
    ORDER BY payment_id ASC, number DESC
) AS asked
WHERE
    payments.id = asked.payment_id
    AND (payments.operation IS NOT NULL OR payments.status IN ('failed', 'cancelled'));

UPDATE refunds SET first_asked_at = asked.first_asked_at
FROM (
    SELECT refund_id, min(started_at) AS first_asked_at
    FROM attempts
    WHERE refund_id IS NOT NULL AND outcome IS DISTINCT FROM 'deferred'
    GROUP BY refund_id
) AS asked
WHERE refunds.id = asked.refund_id AND refunds.due_at IS NOT NULL;
