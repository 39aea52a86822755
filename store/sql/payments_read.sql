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
-- A page as `store/read/found.py` has it. A null filter filters nothing. The ids are bounded by the
-- cursor and by the times.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY tenant_id DESC, id DESC) AS place,
        (
            (:status::text IS NULL OR status = :status)
            AND (:provider::text IS NULL OR provider = :provider)
            AND (:currency::text IS NULL OR currency = :currency)
            AND (:amount_minor::bigint IS NULL OR amount_minor = :amount_minor)
            AND (
                :provider_transaction_id::text IS NULL
                OR provider_reference = :provider_transaction_id
            )
            AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
            AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
        ) AS is_wanted
    FROM payments
    WHERE
        (tenant_id, id) <= (:tenant_id, :before_id)
        AND id <> :before_id
        AND (tenant_id, id) >= (:tenant_id, :first_id)
    ORDER BY tenant_id DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY tenant_id DESC, id DESC
LIMIT :rows_max;

-- name: payments_page_in_state
-- As payments_page, for a state other than `completed`: in these are few.
WITH in_state AS (
    SELECT
        payment_id,
        row_number() OVER (ORDER BY payment_id DESC) AS place
    FROM open_payments
    WHERE
        tenant_id = :tenant_id
        AND status = :status
        AND payment_id < :before_id
        AND payment_id >= :first_id
    ORDER BY payment_id DESC
    LIMIT :read_max
),

looked_at AS (
    SELECT
        payments.*,
        in_state.place,
        (
            payments.status = :status
            AND (:provider::text IS NULL OR payments.provider = :provider)
            AND (:currency::text IS NULL OR payments.currency = :currency)
            AND (:amount_minor::bigint IS NULL OR payments.amount_minor = :amount_minor)
            AND (
                :provider_transaction_id::text IS NULL
                OR payments.provider_reference = :provider_transaction_id
            )
            AND (:created_from::timestamptz IS NULL OR payments.created_at >= :created_from)
            AND (:created_before::timestamptz IS NULL OR payments.created_at < :created_before)
        ) AS is_wanted
    FROM in_state
    INNER JOIN payments ON in_state.payment_id = payments.id
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY id DESC
LIMIT :rows_max;

-- name: payments_page_of_account
-- As payments_page, for the account :account_id on either side: no payment has it on both. Nothing
-- is looked for of an account that is another tenant's, or nobody's; of its own the tenant's index
-- is no way to it.
WITH own AS (
    SELECT id FROM accounts
    WHERE tenant_id = :tenant_id AND id = :account_id
),

of_account AS (
    (
        SELECT * FROM payments
        WHERE
            source_account_id = :account_id
            AND id < :before_id
            AND id >= :first_id
            AND EXISTS (SELECT FROM own)
        ORDER BY id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM payments
        WHERE
            destination_account_id = :account_id
            AND id < :before_id
            AND id >= :first_id
            AND EXISTS (SELECT FROM own)
        ORDER BY id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY id DESC) AS place,
        (
            tenant_id = :tenant_id
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
        ) AS is_wanted
    FROM of_account
    ORDER BY id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
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
