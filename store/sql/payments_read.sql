-- Reading payments. Every statement but the watch names the tenant.

-- name: payment_by_id
SELECT * FROM payments
WHERE tenant_id = :tenant_id AND id = :id;

-- name: payment_in_detail
-- The payment and the newest of what belongs to it, in one statement and so of one moment, each
-- in the order of its list; the history only where :with_events asks for it.
SELECT
    payment.*,
    array(
        (
            SELECT attempt FROM attempts AS attempt
            WHERE attempt.payment_id = payment.id
            ORDER BY coalesce(attempt.refund_id, attempt.payment_id) DESC, attempt.number DESC
            LIMIT :rows_max
        )
    ) AS attempts,
    array(
        SELECT refund FROM refunds AS refund
        WHERE refund.payment_id = payment.id
        ORDER BY refund.id DESC
        LIMIT :rows_max
    ) AS refunds,
    CASE
        WHEN :with_events::boolean THEN array(
            SELECT event FROM payment_events AS event
            WHERE event.payment_id = payment.id
            ORDER BY event.version DESC
            LIMIT :rows_max
        )
    END AS events,
    (
        SELECT archived.archived_at FROM archived_history AS archived
        WHERE archived.first_id <= payment.id AND archived.end_id > payment.id
    ) AS history_archived_at
FROM payments AS payment
WHERE payment.tenant_id = :tenant_id AND payment.id = :id;

-- name: refunds_of_payment_page
SELECT * FROM refunds
WHERE payment_id = :payment_id AND tenant_id = :tenant_id AND id < :before_id
ORDER BY id DESC
LIMIT :rows_max;

-- name: attempts_of_payment_page
-- By what they were for, as their index has them: of a payment with many refunds, too, a page is
-- found and not sorted out.
SELECT * FROM attempts
WHERE
    payment_id = :payment_id
    AND tenant_id = :tenant_id
    AND (coalesce(refund_id, payment_id), number) < (:before_subject, :before_number)
ORDER BY coalesce(refund_id, payment_id) DESC, number DESC
LIMIT :rows_max;

-- name: events_of_payment_page
SELECT * FROM payment_events
WHERE payment_id = :payment_id AND tenant_id = :tenant_id AND version < :before_version
ORDER BY version DESC
LIMIT :rows_max;

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
    AND (:amount_minor::bigint IS NULL OR amount_minor = :amount_minor)
    AND (
        :provider_transaction_id::text IS NULL OR provider_reference = :provider_transaction_id
    )
    AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
    AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
ORDER BY id DESC
LIMIT :rows_max;

-- name: payments_page_in_state
-- As payments_page, for a state other than `completed`: in these are few.
SELECT payments.* FROM open_payments
INNER JOIN payments ON open_payments.payment_id = payments.id
WHERE
    open_payments.tenant_id = :tenant_id
    AND open_payments.status = :status
    AND open_payments.payment_id < :before_id
    AND open_payments.payment_id >= :first_id
    AND payments.status = :status
    AND (:provider::text IS NULL OR payments.provider = :provider)
    AND (:currency::text IS NULL OR payments.currency = :currency)
    AND (:amount_minor::bigint IS NULL OR payments.amount_minor = :amount_minor)
    AND (
        :provider_transaction_id::text IS NULL
        OR payments.provider_reference = :provider_transaction_id
    )
    AND (:created_from::timestamptz IS NULL OR payments.created_at >= :created_from)
    AND (:created_before::timestamptz IS NULL OR payments.created_at < :created_before)
ORDER BY open_payments.payment_id DESC
LIMIT :rows_max;

-- name: payments_floor
-- The id at which a page that finds little stops reading, if there are so many before it. From the
-- index alone, so that a filter which nothing passes costs a known time.
SELECT id FROM payments
WHERE tenant_id = :tenant_id AND id < :before_id AND id >= :first_id
ORDER BY id DESC
LIMIT 1 OFFSET :read_max - 1;

-- name: payments_floor_in_state
SELECT payment_id AS id FROM open_payments
WHERE
    tenant_id = :tenant_id
    AND status = :status
    AND payment_id < :before_id
    AND payment_id >= :first_id
ORDER BY payment_id DESC
LIMIT 1 OFFSET :read_max - 1;

-- name: payments_floor_of_account
-- Of the two sides the one whose payments are the more in number.
SELECT max(floors.id::text)::uuid AS id FROM (
    (
        SELECT id FROM payments
        WHERE
            source_account_id = :account_id
            AND tenant_id = :tenant_id
            AND id < :before_id
            AND id >= :first_id
        ORDER BY id DESC
        LIMIT 1 OFFSET :read_max - 1
    )
    UNION ALL
    (
        SELECT id FROM payments
        WHERE
            destination_account_id = :account_id
            AND tenant_id = :tenant_id
            AND id < :before_id
            AND id >= :first_id
        ORDER BY id DESC
        LIMIT 1 OFFSET :read_max - 1
    )
) AS floors;

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
            AND (:amount_minor::bigint IS NULL OR amount_minor = :amount_minor)
            AND (
                :provider_transaction_id::text IS NULL
                OR provider_reference = :provider_transaction_id
            )
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
            AND (:amount_minor::bigint IS NULL OR amount_minor = :amount_minor)
            AND (
                :provider_transaction_id::text IS NULL
                OR provider_reference = :provider_transaction_id
            )
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

-- name: answer_under_key
-- What was answered under an idempotency key: it says what the request made.
SELECT body FROM idempotency_keys
WHERE tenant_id = :tenant_id AND key = :key;
