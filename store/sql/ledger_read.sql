-- Reading the ledger of one customer account: its statement, and its balance in the past.

-- name: statement_page
-- What moved, newest first, before an id. Each side is its own index range, cut to a
-- page before the two are merged.
SELECT * FROM (
    (
        SELECT
            id, transaction_type, 'debit' AS direction, amount_minor, currency,
            debit_balance_after AS balance_after_minor, description, payment_id, refund_id,
            recorded_at
        FROM ledger_transfers
        WHERE
            tenant_id = :tenant_id
            AND debit_account_id = :account_id
            AND id < :before_id
            AND state = 'posted'
        ORDER BY id DESC
        LIMIT :rows_max
    )
    UNION ALL
    (
        SELECT
            id, transaction_type, 'credit' AS direction, amount_minor, currency,
            credit_balance_after AS balance_after_minor, description, payment_id, refund_id,
            recorded_at
        FROM ledger_transfers
        WHERE
            tenant_id = :tenant_id
            AND credit_account_id = :account_id
            AND id < :before_id
            AND state = 'posted'
        ORDER BY id DESC
        LIMIT :rows_max
    )
) AS merged
ORDER BY id DESC
LIMIT :rows_max;

-- name: balance_at
-- The balance of an instant, found backwards from now: the account's row less what the
-- ledger has since. One statement, so that row and ledger are of one moment. An id is made
-- no earlier than its row's time, so the first id of that instant bounds the scan.
WITH since AS (
    SELECT
        coalesce(sum(amount_minor) FILTER (WHERE state = 'posted'), 0) AS debited,
        coalesce(sum(amount_minor) FILTER (WHERE state = 'pending'), 0)
        - coalesce(sum(releases_minor), 0) AS held,
        0 AS credited
    FROM ledger_transfers
    WHERE
        tenant_id = :tenant_id
        AND debit_account_id = :account_id
        AND id >= :first_id
        AND recorded_at > :instant
    UNION ALL
    SELECT
        0,
        0,
        coalesce(sum(amount_minor) FILTER (WHERE state = 'posted'), 0)
    FROM ledger_transfers
    WHERE
        tenant_id = :tenant_id
        AND credit_account_id = :account_id
        AND id >= :first_id
        AND recorded_at > :instant
),

change AS (
    SELECT
        sum(debited) AS debited,
        sum(held) AS held,
        sum(credited) AS credited
    FROM since
)

SELECT
    account.currency,
    account.created_at,
    (account.credits_posted - account.debits_posted - change.credited + change.debited)::bigint
    AS posted_minor,
    (account.debits_pending - change.held)::bigint AS held_minor
FROM accounts AS account
CROSS JOIN change
WHERE account.tenant_id = :tenant_id AND account.id = :account_id;
