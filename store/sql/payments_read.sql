-- Reading payments. Every statement but the watch names the tenant.

-- name: payment_by_id
SELECT * FROM payments
WHERE tenant_id = $1 AND id = $2;

-- name: payment_with_all
-- The payment and what belongs to it, in one statement and so of one moment; the history
-- only where $3 asks for it.
SELECT
    payment.*,
    array(
        SELECT attempt FROM attempts AS attempt
        WHERE attempt.payment_id = payment.id
        ORDER BY attempt.id
    ) AS attempts,
    array(
        SELECT refund FROM refunds AS refund
        WHERE refund.payment_id = payment.id
        ORDER BY refund.id
    ) AS refunds,
    CASE
        WHEN $3::boolean THEN array(
            SELECT event FROM payment_events AS event
            WHERE event.payment_id = payment.id
            ORDER BY event.version
        )
    END AS events
FROM payments AS payment
WHERE payment.tenant_id = $1 AND payment.id = $2;

-- name: payments_page
-- A null filter filters nothing. $2 and $3 bound the ids, from the cursor and the times.
SELECT * FROM payments
WHERE
    tenant_id = $1
    AND id < $2
    AND id >= $3
    AND ($4::text IS NULL OR status = $4)
    AND ($5::text IS NULL OR provider = $5)
    AND ($6::text IS NULL OR currency = $6)
    AND ($7::timestamptz IS NULL OR created_at >= $7)
    AND ($8::timestamptz IS NULL OR created_at < $8)
ORDER BY id DESC
LIMIT $9;

-- name: payments_page_of_account
-- As payments_page, for the account $10 on either side: no payment has it on both.
SELECT * FROM (
    (
        SELECT * FROM payments
        WHERE
            source_account_id = $10
            AND tenant_id = $1
            AND id < $2
            AND id >= $3
            AND ($4::text IS NULL OR status = $4)
            AND ($5::text IS NULL OR provider = $5)
            AND ($6::text IS NULL OR currency = $6)
            AND ($7::timestamptz IS NULL OR created_at >= $7)
            AND ($8::timestamptz IS NULL OR created_at < $8)
        ORDER BY id DESC
        LIMIT $9
    )
    UNION ALL
    (
        SELECT * FROM payments
        WHERE
            destination_account_id = $10
            AND tenant_id = $1
            AND id < $2
            AND id >= $3
            AND ($4::text IS NULL OR status = $4)
            AND ($5::text IS NULL OR provider = $5)
            AND ($6::text IS NULL OR currency = $6)
            AND ($7::timestamptz IS NULL OR created_at >= $7)
            AND ($8::timestamptz IS NULL OR created_at < $8)
        ORDER BY id DESC
        LIMIT $9
    )
) AS merged
ORDER BY id DESC
LIMIT $9;

-- name: settled_payments
-- Which of these are in one of the states $2: what those who wait for them ask together.
SELECT * FROM payments
WHERE id = any($1::uuid[]) AND status = any($2::text[]);
