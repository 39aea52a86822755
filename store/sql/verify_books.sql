-- What `payments verify` asks of the books: accounts, ledger, what each payment moved. Each
-- statement returns what should not be, as a subject
-- and what is wrong with it.

-- name: verify_sizes
-- How much there was to look at.
SELECT
    (SELECT count(*) FROM accounts) AS accounts,
    (SELECT count(*) FROM payments) AS payments,
    (SELECT count(*) FROM refunds) AS refunds,
    (SELECT count(*) FROM ledger_transfers) AS ledger_transfers,
    (SELECT count(*) FROM payment_events) AS payment_events,
    (SELECT count(*) FROM dead_letters) AS dead_letters,
    (SELECT count(*) FROM idempotency_keys) AS idempotency_keys;

-- name: verify_conservation
-- Whatever customers have, the system accounts (world, clearing) lack.
WITH customers AS (
    SELECT tenant_id, currency, sum(credits_posted - debits_posted) AS balance
    FROM accounts
    GROUP BY tenant_id, currency
),

sides AS (
    SELECT debit_account_id AS account_id, -amount_minor AS amount_minor
    FROM ledger_transfers
    WHERE state = 'posted'
    UNION ALL
    SELECT credit_account_id, amount_minor
    FROM ledger_transfers
    WHERE state = 'posted'
),

systems AS (
    SELECT owners.tenant_id, owners.currency, sum(sides.amount_minor) AS balance
    FROM sides
    INNER JOIN system_accounts AS owners ON sides.account_id = owners.id
    GROUP BY owners.tenant_id, owners.currency
)

SELECT
    format(
        '%s %s', coalesce(customers.tenant_id, systems.tenant_id),
        coalesce(customers.currency, systems.currency)
    ) AS subject,
    format(
        'customers have %s, the system accounts %s: together that is not 0',
        coalesce(customers.balance, 0), coalesce(systems.balance, 0)
    ) AS problem
FROM customers
FULL JOIN systems
    ON customers.tenant_id = systems.tenant_id AND customers.currency = systems.currency
WHERE coalesce(customers.balance, 0) + coalesce(systems.balance, 0) <> 0;

-- name: verify_transfer_parties
-- A transfer is between two accounts there are, of its own tenant and currency.
WITH parties AS (
    SELECT id, tenant_id, currency FROM accounts
    UNION ALL
    SELECT id, tenant_id, currency FROM system_accounts
)

SELECT
    format('transfer %s', transfers.id) AS subject,
    'one of its accounts does not exist, or is of another tenant or currency' AS problem
FROM ledger_transfers AS transfers
LEFT JOIN parties AS debited
    ON
        transfers.debit_account_id = debited.id
        AND transfers.tenant_id = debited.tenant_id AND transfers.currency = debited.currency
LEFT JOIN parties AS credited
    ON
        transfers.credit_account_id = credited.id
        AND transfers.tenant_id = credited.tenant_id AND transfers.currency = credited.currency
WHERE debited.id IS NULL OR credited.id IS NULL;

-- name: verify_account_totals
-- The columns of an account are the fold of its ledger rows.
WITH sides AS (
    SELECT
        debit_account_id AS account_id,
        CASE WHEN state = 'posted' THEN amount_minor ELSE 0 END AS debits_posted,
        0::bigint AS credits_posted,
        CASE WHEN state = 'pending' THEN amount_minor ELSE -releases_minor END AS debits_pending,
        0::bigint AS credits_pending
    FROM ledger_transfers
    UNION ALL
    SELECT
        credit_account_id,
        0,
        CASE WHEN state = 'posted' THEN amount_minor ELSE 0 END,
        0,
        CASE WHEN state = 'pending' THEN amount_minor ELSE -releases_minor END
    FROM ledger_transfers
),

folded AS (
    SELECT
        account_id,
        sum(debits_posted) AS debits_posted,
        sum(credits_posted) AS credits_posted,
        sum(debits_pending) AS debits_pending,
        sum(credits_pending) AS credits_pending
    FROM sides
    GROUP BY account_id
),

compared AS (
    SELECT
        accounts.id,
        ARRAY[
            accounts.debits_posted, accounts.credits_posted,
            accounts.debits_pending, accounts.credits_pending
        ]::numeric[] AS kept,
        ARRAY[
            coalesce(folded.debits_posted, 0), coalesce(folded.credits_posted, 0),
            coalesce(folded.debits_pending, 0), coalesce(folded.credits_pending, 0)
        ] AS added_up
    FROM accounts
    LEFT JOIN folded ON accounts.id = folded.account_id
)

SELECT
    format('account %s', id) AS subject,
    format(
        'debits and credits posted, debits and credits pending are %s, the ledger says %s',
        kept, added_up
    ) AS problem
FROM compared
WHERE kept <> added_up;

-- name: verify_overdrawn
SELECT
    format('account %s', id) AS subject,
    format('available is %s', credits_posted - debits_posted - debits_pending) AS problem
FROM accounts
WHERE credits_posted - debits_posted - debits_pending < 0;

-- name: verify_holds
-- Held is what open external payments are about, no more and no less.
WITH open_payments AS (
    SELECT source_account_id, sum(amount_minor) AS amount_minor
    FROM payments
    WHERE
        payment_type = 'external_payment'
        AND status IN ('pending', 'processing', 'authorized', 'unknown', 'review')
    GROUP BY source_account_id
)

SELECT
    format('account %s', accounts.id) AS subject,
    format(
        '%s is held, its open payments are of %s',
        accounts.debits_pending, coalesce(open_payments.amount_minor, 0)
    ) AS problem
FROM accounts
LEFT JOIN open_payments ON accounts.id = open_payments.source_account_id
WHERE accounts.debits_pending <> coalesce(open_payments.amount_minor, 0);

-- name: verify_held_after
-- Each row says what its customer had held after it. Those from before it was kept come first, and
-- say nothing.
WITH held AS (
    SELECT
        id, debit_held_after,
        sum(CASE WHEN state = 'pending' THEN amount_minor ELSE -releases_minor END)
            OVER (PARTITION BY debit_account_id ORDER BY id)
            AS folded
    FROM ledger_transfers
    WHERE debit_balance_after IS NOT NULL
)

SELECT
    format('transfer %s', id) AS subject,
    format('says that %s was held after it, the rows up to it %s', debit_held_after, folded)
    AS problem
FROM held
WHERE debit_held_after <> folded;

-- name: verify_effects_of_payments
-- A payment moved its captured amount once, if it captured, and reserved it as often as
-- it released it or still holds it.
WITH moved AS (
    SELECT
        payment_id,
        count(*) FILTER (WHERE state = 'posted') AS posts,
        coalesce(sum(amount_minor) FILTER (WHERE state = 'posted'), 0) AS posted_minor,
        count(*) FILTER (WHERE state = 'pending') AS holds,
        count(*) FILTER (WHERE pending_id IS NOT NULL) AS resolutions
    FROM ledger_transfers
    WHERE refund_id IS NULL AND payment_id IS NOT NULL AND transaction_type <> 'dispute'
    GROUP BY payment_id
),

expected AS (
    SELECT
        id, captured_minor, status,
        (captured_minor > 0)::integer AS posts,
        (
            payment_type = 'external_payment'
            AND status IN ('pending', 'processing', 'authorized', 'unknown', 'review')
        )::integer AS open_holds
    FROM payments
)

SELECT
    format('payment %s', coalesce(expected.id, moved.payment_id)) AS subject,
    CASE
        WHEN expected.id IS NULL THEN 'moved money and does not exist'
        ELSE format(
            'is %s with %s captured, but was posted %s times, %s in all, with %s open holds',
            expected.status, expected.captured_minor, coalesce(moved.posts, 0),
            coalesce(moved.posted_minor, 0), coalesce(moved.holds - moved.resolutions, 0)
        )
    END AS problem
FROM expected
FULL JOIN moved ON expected.id = moved.payment_id
WHERE
    expected.id IS NULL
    OR expected.posts <> coalesce(moved.posts, 0)
    OR expected.captured_minor <> coalesce(moved.posted_minor, 0)
    OR expected.open_holds <> coalesce(moved.holds - moved.resolutions, 0);

-- name: verify_effects_of_refunds
-- A completed refund moved its amount once more than it came back, any other as often; a
-- payment's totals are those of its refunds and stay within what was captured.
WITH moved AS (
    SELECT
        refund_id,
        sum(CASE transaction_type WHEN 'refund_returned' THEN -1 ELSE 1 END) AS posts,
        sum(
            CASE transaction_type WHEN 'refund_returned' THEN -amount_minor ELSE amount_minor END
        ) AS posted_minor
    FROM ledger_transfers
    WHERE refund_id IS NOT NULL AND state = 'posted'
    GROUP BY refund_id
),

totals AS (
    SELECT
        payment_id,
        coalesce(sum(amount_minor) FILTER (WHERE status = 'completed'), 0) AS refunded_minor,
        coalesce(
            sum(amount_minor) FILTER (WHERE status NOT IN ('completed', 'failed')), 0
        ) AS promised_minor
    FROM refunds
    GROUP BY payment_id
)

SELECT
    format('refund %s', refunds.id) AS subject,
    format(
        'is %s of %s, but was posted %s times, %s in all', refunds.status,
        refunds.amount_minor, coalesce(moved.posts, 0), coalesce(moved.posted_minor, 0)
    ) AS problem
FROM refunds
LEFT JOIN moved ON refunds.id = moved.refund_id
WHERE
    coalesce(moved.posts, 0) <> (refunds.status = 'completed')::integer
    OR coalesce(moved.posted_minor, 0) <> coalesce(moved.posts, 0) * refunds.amount_minor
UNION ALL
SELECT
    format('payment %s', payments.id),
    format(
        'says %s refunded and %s promised of %s captured, its refunds add up to %s and %s',
        payments.refunded_minor, payments.refund_pending_minor, payments.captured_minor,
        coalesce(totals.refunded_minor, 0), coalesce(totals.promised_minor, 0)
    )
FROM payments
LEFT JOIN totals ON payments.id = totals.payment_id
WHERE
    payments.refunded_minor <> coalesce(totals.refunded_minor, 0)
    OR payments.refund_pending_minor <> coalesce(totals.promised_minor, 0)
    OR payments.refunded_minor + payments.refund_pending_minor > payments.captured_minor;

-- name: verify_disputes
-- What disputes have withdrawn is what their payment says, and what the ledger moved for them.
WITH withdrawn AS (
    SELECT payment_id, sum(withdrawn_minor) AS withdrawn_minor
    FROM disputes
    GROUP BY payment_id
),

moved AS (
    SELECT
        transfers.payment_id,
        sum(
            CASE WHEN taken.id IS NULL THEN -transfers.amount_minor ELSE transfers.amount_minor END
        ) AS moved_minor
    FROM ledger_transfers AS transfers
    LEFT JOIN system_accounts AS taken
        ON transfers.credit_account_id = taken.id AND taken.code LIKE 'disputed:%'
    WHERE transfers.transaction_type = 'dispute'
    GROUP BY transfers.payment_id
)

SELECT
    format('payment %s', payments.id) AS subject,
    format(
        'says %s is disputed, its disputes %s, the ledger %s', payments.disputed_minor,
        coalesce(withdrawn.withdrawn_minor, 0), coalesce(moved.moved_minor, 0)
    ) AS problem
FROM payments
LEFT JOIN withdrawn ON payments.id = withdrawn.payment_id
LEFT JOIN moved ON payments.id = moved.payment_id
WHERE
    payments.disputed_minor <> coalesce(withdrawn.withdrawn_minor, 0)
    OR payments.disputed_minor <> coalesce(moved.moved_minor, 0);
