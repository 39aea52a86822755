-- Reading payments. Every statement but the watch names the tenant.

-- name: payment_by_id
SELECT * FROM payments
WHERE tenant_id = :tenant_id AND id = :id;

-- name: payment_with_all
-- The payment and what belongs to it, in one statement and so of one moment; the history
-- only where :with_events asks for it.
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
        WHEN :with_events::boolean THEN array(
            SELECT event FROM payment_events AS event
            WHERE event.payment_id = payment.id
            ORDER BY event.version
        )
    END AS events
FROM payments AS payment
WHERE payment.tenant_id = :tenant_id AND payment.id = :id;

-- name: payments_page
-- A null filter filters nothing. The ids are bounded by the cursor and by the times.
SELECT * FROM payments
WHERE
    tenant_id = :tenant_id
    AND id < :before_id
    AND id >= :first_id
    AND (:status::text IS NULL OR status = :status)
    AND (:provider::text IS NULL OR provider = :provider)
    AND (:currency::text IS NULL OR currency = :currency)
    AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
    AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
ORDER BY id DESC
LIMIT :rows_max;

-- name: payments_page_of_account
-- As payments_page, for the account :account_id on either side: no payment has it on both.
SELECT * FROM (
    (
        SELECT * FROM payments
        WHERE
            source_account_id = :account_id
            AND tenant_id = :tenant_id
            AND id < :before_id
            AND id >= :first_id
            AND (:status::text IS NULL OR status = :status)
            AND (:provider::text IS NULL OR provider = :provider)
            AND (:currency::text IS NULL OR currency = :currency)
            AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
            AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
        ORDER BY id DESC
        LIMIT :rows_max
    )
    UNION ALL
    (
        SELECT * FROM payments
        WHERE
            destination_account_id = :account_id
            AND tenant_id = :tenant_id
            AND id < :before_id
            AND id >= :first_id
            AND (:status::text IS NULL OR status = :status)
            AND (:provider::text IS NULL OR provider = :provider)
            AND (:currency::text IS NULL OR currency = :currency)
            AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
            AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
        ORDER BY id DESC
        LIMIT :rows_max
    )
) AS merged
ORDER BY id DESC
LIMIT :rows_max;

-- name: settled_payments
-- Which of these are in one of the states: what those who wait for them ask together.
SELECT * FROM payments
WHERE id = any(:ids::uuid[]) AND status = any(:statuses::text[]);
