-- What the console's overview counts: narrow ranges of ids, each read no further than so many rows,
-- so that it costs the same whatever there is.

-- name: recent_payments
-- By bucket, and by bucket and currency: what became of the newest of each. `read_count` of all in
-- a bucket is exact below the limit; at it, `oldest_at` says how far was read.
WITH bucket AS (
    SELECT *
    FROM unnest(:first_ids::uuid[], :end_ids::uuid[])
    WITH ORDINALITY AS ranges (first_id, end_id, number)
),

newest AS (
    SELECT bucket.number, newer.*
    FROM bucket
    CROSS JOIN LATERAL ( -- noqa: ST05
        SELECT
            payment.status, payment.currency, payment.captured_minor, payment.created_at,
            payment.completed_at
        FROM payments AS payment
        WHERE
            payment.tenant_id = :tenant_id
            AND payment.id >= bucket.first_id
            AND payment.id < bucket.end_id
        ORDER BY payment.id DESC
        LIMIT :rows_max
    ) AS newer
)

SELECT
    number,
    currency,
    count(*) AS read_count,
    count(*) FILTER (
        WHERE status IN ('completed', 'partially_refunded', 'refunded')
    ) AS completed_count,
    count(*) FILTER (WHERE status IN ('failed', 'cancelled')) AS failed_count,
    sum(captured_minor)::bigint AS captured_minor,
    min(created_at) AS oldest_at,
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(EPOCH FROM completed_at - created_at)
    ) AS seconds
FROM newest
GROUP BY GROUPING SETS ((number), (number, currency))
ORDER BY number, currency;

-- name: open_payments_counted
-- How many are in each state that is no end, none further than so many.
SELECT
    state.status,
    (
        SELECT count(*) FROM (
            SELECT waiting.payment_id FROM open_payments AS waiting
            WHERE waiting.tenant_id = :tenant_id AND waiting.status = state.status
            ORDER BY waiting.payment_id DESC
            LIMIT :rows_max
        ) AS counted
    ) AS payments
FROM unnest(:statuses::text[]) AS state (status);

-- name: recent_calls
-- What the newest payments' calls to providers ended in.
WITH newest AS (
    SELECT id FROM payments
    WHERE tenant_id = :tenant_id
    ORDER BY id DESC
    LIMIT :rows_max
)

SELECT
    attempt.provider,
    attempt.operation,
    attempt.outcome,
    count(*) AS calls,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(EPOCH FROM attempt.finished_at - attempt.started_at)
    ) AS seconds
FROM newest
INNER JOIN attempts AS attempt ON newest.id = attempt.payment_id
GROUP BY attempt.provider, attempt.operation, attempt.outcome
ORDER BY attempt.provider, attempt.operation, attempt.outcome;

-- name: living_provider_states
-- What each worker that lives says of each provider.
SELECT provider, stage, worker, state, reason, since, updated_at
FROM provider_states
WHERE updated_at > now() - interval '60 seconds'
ORDER BY provider, stage, worker
LIMIT 200;

-- name: newest_seals
SELECT number, row_count, last_ledger_id, sealed_at, digest
FROM ledger_seals
WHERE tenant_id = :tenant_id
ORDER BY number DESC
LIMIT :rows_max;
