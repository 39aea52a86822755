-- What a payment left elsewhere, found by narrow ranges of indexes: nothing here is by payment.

-- name: payment_transfers
-- Its ledger moves: those of its account within seconds of each moment at which it changed. Ids are
-- made in order of time, so a moment is a range of them.
SELECT DISTINCT ON (moved.id) moved.*
FROM unnest(:first_ids::uuid[], :end_ids::uuid[]) AS moment (first_id, end_id)
CROSS JOIN LATERAL ( -- noqa: ST05
    (
        SELECT
            debit.id, debit.state, debit.pending_id, debit.transaction_type, debit.amount_minor,
            debit.currency, debit.refund_id, 'debit' AS direction,
            debit.debit_balance_after AS balance_after_minor, debit.recorded_at
        FROM ledger_transfers AS debit
        WHERE
            debit.debit_account_id = :account_id
            AND debit.id >= moment.first_id
            AND debit.id < moment.end_id
            AND debit.payment_id = :payment_id
        ORDER BY debit.id
        LIMIT 20
    )
    UNION ALL
    (
        SELECT
            credit.id, credit.state, credit.pending_id, credit.transaction_type,
            credit.amount_minor, credit.currency, credit.refund_id, 'credit' AS direction,
            credit.credit_balance_after AS balance_after_minor, credit.recorded_at
        FROM ledger_transfers AS credit
        WHERE
            credit.credit_account_id = :account_id
            AND credit.credit_balance_after IS NOT NULL
            AND credit.id >= moment.first_id
            AND credit.id < moment.end_id
            AND credit.payment_id = :payment_id
        ORDER BY credit.id
        LIMIT 20
    )
) AS moved
ORDER BY moved.id
LIMIT 100;

-- name: event_messages
-- The outbox's row of each event, as long as its day is kept.
SELECT outbox.id, outbox.aggregatetype AS topic, outbox.position, outbox.traceparent
FROM unnest(:ids::uuid[], :times::timestamptz[]) AS event (id, recorded_at)
INNER JOIN outbox ON event.recorded_at = outbox.recorded_at AND event.id = outbox.id;

-- name: event_deliveries
SELECT delivery.*
FROM webhook_deliveries AS delivery
WHERE delivery.event_id = any(:ids::uuid[]) AND delivery.tenant_id = :tenant_id
ORDER BY delivery.created_at, delivery.id
LIMIT 200;

-- name: payment_letters
-- Of its own, the newest first.
SELECT * FROM dead_letters
WHERE payment_id = :payment_id AND tenant_id = :tenant_id
ORDER BY last_failed_at DESC
LIMIT 20;
