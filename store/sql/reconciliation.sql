-- A settlement report against our books. No statement names a tenant but the listing: a provider's
-- account serves them all, and a report is the account's.

-- name: settled_payments_between
-- By when it was settled, however long before it was created: of these, what moved money. Each did
-- so once, in a row of the ledger, whose id says about when; an index of the payments by that time
-- would be written again with every payment that ends, and so would all their others.
SELECT
    payments.id, payments.id AS payment_id, payments.tenant_id, payments.status,
    payments.captured_minor AS amount_minor, payments.currency, payments.provider_reference,
    payments.completed_at AS settled_at, moved.id AS position,
    coalesce(
        CASE
            WHEN payments.asked_operation IN ('charge', 'capture') THEN payments.first_asked_at
        END,
        payments.created_at
    ) AS began_at
FROM ledger_transfers AS moved
INNER JOIN payments ON moved.payment_id = payments.id
WHERE
    moved.id > :after_id
    AND moved.id < :before_id
    AND moved.state = 'posted'
    AND moved.transaction_type = 'payment'
    AND payments.provider = :provider
    AND payments.completed_at >= :since
    AND payments.completed_at < :before
    AND payments.status = any(:statuses::text[])
ORDER BY moved.id
LIMIT :rows_max;

-- name: settled_refunds_between
SELECT
    id, payment_id, tenant_id, status, amount_minor, currency, provider_reference,
    completed_at AS settled_at, coalesce(first_asked_at, created_at) AS began_at
FROM refunds
WHERE
    provider = :provider
    AND (completed_at, id) > (:after_time, :after_id)
    AND completed_at < :before
    AND status = any(:statuses::text[])
ORDER BY completed_at, id
LIMIT :rows_max;

-- name: payments_of_report
-- Whatever their state: a payment that failed here may have been charged there.
SELECT
    id, id AS payment_id, tenant_id, status, currency, provider_reference,
    CASE WHEN captured_minor > 0 THEN captured_minor ELSE amount_minor END AS amount_minor,
    CASE WHEN captured_minor > 0 THEN completed_at END AS settled_at,
    coalesce(
        CASE WHEN asked_operation IN ('charge', 'capture') THEN first_asked_at END, created_at
    ) AS began_at
FROM payments
WHERE provider = :provider AND id = any(:ids::uuid[]);

-- name: refunds_of_report
SELECT
    id, payment_id, tenant_id, status, amount_minor, currency, provider_reference,
    completed_at AS settled_at, coalesce(first_asked_at, created_at) AS began_at
FROM refunds
WHERE provider = :provider AND id = any(:ids::uuid[]);

-- name: lock_reconciliation
-- Two runs over one provider would resolve each other's finds.
SELECT pg_advisory_xact_lock(hashtextextended('reconciliation:' || $1, 0));

-- name: reconciliation_breaks_of_run
-- What a run may find again or resolve; open ones are few, or nobody would look at them.
SELECT * FROM reconciliation_breaks
WHERE provider = :provider AND (state = 'open' OR id = any(:ids::uuid[]))
ORDER BY id
FOR NO KEY UPDATE;

-- name: put_reconciliation_breaks
INSERT INTO reconciliation_breaks (
    id, tenant_id, provider, type, kind, payment_id, refund_id, reference, here_minor,
    here_currency, there_minor, there_currency, status_here, status_there, began_at,
    occurred_at, first_found_at, last_found_at, state, resolved_at, resolved_by, resolution
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:provider::text[]),
    unnest(:type::text[]), unnest(:kind::text[]), unnest(:payment_id::uuid[]),
    unnest(:refund_id::uuid[]), unnest(:reference::text[]), unnest(:here_minor::bigint[]),
    unnest(:here_currency::text[]), unnest(:there_minor::bigint[]),
    unnest(:there_currency::text[]), unnest(:status_here::text[]),
    unnest(:status_there::text[]), unnest(:began_at::timestamptz[]),
    unnest(:occurred_at::timestamptz[]), unnest(:first_found_at::timestamptz[]),
    unnest(:last_found_at::timestamptz[]), unnest(:state::text[]),
    unnest(:resolved_at::timestamptz[]), unnest(:resolved_by::text[]),
    unnest(:resolution::text[])
ON CONFLICT (id) DO UPDATE SET
    here_minor = excluded.here_minor,
    here_currency = excluded.here_currency,
    there_minor = excluded.there_minor,
    there_currency = excluded.there_currency,
    status_here = excluded.status_here,
    status_there = excluded.status_there,
    last_found_at = excluded.last_found_at,
    state = excluded.state,
    resolved_at = excluded.resolved_at,
    resolved_by = excluded.resolved_by,
    resolution = excluded.resolution;

-- name: lock_reconciliation_break
SELECT * FROM reconciliation_breaks
WHERE id = $1
FOR NO KEY UPDATE;

-- name: reconciliation_breaks_page
-- A page as `store/read/found.py` has it, the newest difference first; a null filter filters
-- nothing. Open ones, which somebody has to look at, have an index of their own.
WITH in_order AS (
    (
        SELECT * FROM reconciliation_breaks
        WHERE
            :state::text IS DISTINCT FROM 'open'
            AND (tenant_id, occurred_at, id) <= (:tenant_id, :before_time, :before_id)
            AND id <> :before_id
            AND tenant_id >= :tenant_id
        ORDER BY tenant_id DESC, occurred_at DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM reconciliation_breaks
        WHERE
            :state::text = 'open'
            AND state = 'open'
            AND (tenant_id, occurred_at, id) <= (:tenant_id, :before_time, :before_id)
            AND id <> :before_id
            AND tenant_id >= :tenant_id
        ORDER BY tenant_id DESC, occurred_at DESC, id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY tenant_id DESC, occurred_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:provider::text IS NULL OR provider = :provider)
            AND (:type::text IS NULL OR type = :type)
        ) AS is_wanted
    FROM in_order
    ORDER BY tenant_id DESC, occurred_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY tenant_id DESC, occurred_at DESC, id DESC
LIMIT :rows_max;

-- name: reconciliation_breaks_page_of_all
-- Likewise, of every tenant.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY occurred_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:provider::text IS NULL OR provider = :provider)
            AND (:type::text IS NULL OR type = :type)
        ) AS is_wanted
    FROM reconciliation_breaks
    WHERE (occurred_at, id) < (:before_time, :before_id)
    ORDER BY occurred_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY occurred_at DESC, id DESC
LIMIT :rows_max;
