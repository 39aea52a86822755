-- What is due, by the clock.

-- name: due_payments
-- Who owes nothing and is due was authorized, and not captured in time. Who waits behind a dead
-- letter is let be: another message would only join the queue.
SELECT id, operation IS NULL AS has_expired FROM payments
WHERE due_at <= :now AND (charge_blocked_by IS NULL OR operation IS NULL)
ORDER BY due_at
LIMIT :rows_max;

-- name: due_refunds
SELECT refunds.id
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE refunds.due_at <= :now AND payments.refund_blocked_by IS NULL
ORDER BY refunds.due_at
LIMIT :rows_max;
