-- Reading the ledger of one customer account: its statement, and its balance in the past.

-- name: statement_page
-- What moved, newest first, before an id: a page as `store/read/found.py` has it, of which holds
-- and what became of them are left out. Each side is its own index range.
WITH of_account AS (
    (
        SELECT
            id, state, transaction_type, 'debit' AS direction, amount_minor, currency,
            debit_balance_after AS balance_after_minor, description, payment_id, refund_id,
            recorded_at
        FROM ledger_transfers
        WHERE
            tenant_id = :tenant_id
            AND debit_account_id = :account_id
            AND id < :before_id
        ORDER BY id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT
            id, state, transaction_type, 'credit' AS direction, amount_minor, currency,
            credit_balance_after AS balance_after_minor, description, payment_id, refund_id,
            recorded_at
        FROM ledger_transfers
        WHERE
            tenant_id = :tenant_id
            AND credit_account_id = :account_id
            AND credit_balance_after IS NOT NULL
            AND id < :before_id
        ORDER BY id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY id DESC) AS place,
        (state = 'posted') AS is_wanted
    FROM of_account
    ORDER BY id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY id DESC
LIMIT :rows_max;

-- name: balance_at
-- The balance of an instant is what the first row after it found: one look-up a side, however
-- much there is before and since. An id is made no earlier than its row's time, so the first id
-- of that instant is where to begin. Without a row since, it is what the account has now. One
-- statement, so that account and ledger are of one moment. What was held is unknown (null) where
-- the row is from before it was kept.
WITH next_debit AS (
    SELECT
        id,
        debit_balance_after
        + CASE WHEN state = 'posted' THEN amount_minor ELSE 0 END AS balance_before,
        debit_held_after
        - CASE WHEN state = 'pending' THEN amount_minor ELSE -releases_minor END AS held_before
    FROM ledger_transfers
    WHERE
        tenant_id = :tenant_id
        AND debit_account_id = :account_id
        AND id >= :first_id
        AND recorded_at > :instant
    ORDER BY id ASC
    LIMIT 1
),

next_credit AS (
    SELECT
        id,
        credit_balance_after
        - CASE WHEN state = 'posted' THEN amount_minor ELSE 0 END AS balance_before
    FROM ledger_transfers
    WHERE
        tenant_id = :tenant_id
        AND credit_account_id = :account_id
        AND credit_balance_after IS NOT NULL
        AND id >= :first_id
        AND recorded_at > :instant
    ORDER BY id ASC
    LIMIT 1
)

SELECT
    account.currency,
    account.created_at,
    CASE
        WHEN next_debit.id < next_credit.id THEN next_debit.balance_before
        ELSE coalesce(
            next_credit.balance_before, next_debit.balance_before,
            account.credits_posted - account.debits_posted
        )
    END AS posted_minor,
    CASE WHEN next_debit.id IS NULL THEN account.debits_pending ELSE next_debit.held_before END
    AS held_minor
FROM accounts AS account
LEFT JOIN next_debit ON TRUE
LEFT JOIN next_credit ON TRUE
WHERE account.tenant_id = :tenant_id AND account.id = :account_id;

-- name: held_at
-- What was held at an instant of which the ledger's rows do not say it themselves: what is held
-- now, less what has been held since, and what was given back.
SELECT
    (
        account.debits_pending - (
            SELECT
                coalesce(sum(since.amount_minor) FILTER (WHERE since.state = 'pending'), 0)
                - coalesce(sum(since.releases_minor), 0)
            FROM ledger_transfers AS since
            WHERE
                since.tenant_id = :tenant_id
                AND since.debit_account_id = :account_id
                AND since.id >= :first_id
                AND since.recorded_at > :instant
        )
    )::bigint AS held_minor
FROM accounts AS account
WHERE account.tenant_id = :tenant_id AND account.id = :account_id;
