-- What `payments verify` asks of payments, refunds and their history. Each statement returns
-- what should not be, as a subject and what is wrong with it.

-- name: verify_unowned
-- A payment or refund that has not ended has somebody who will look again, and one in
-- review has a letter too. An authorized payment waits for its client, but not for ever.
SELECT
    format('payment %s', id) AS subject,
    format('%s, and nobody will ever look again', status) AS problem
FROM payments
WHERE
    due_at IS NULL
    AND status IN ('pending', 'processing', 'authorized', 'unknown', 'review')
UNION ALL
SELECT format('refund %s', id), format('%s, and nobody will ever look again', status)
FROM refunds
WHERE due_at IS NULL AND status IN ('pending', 'processing', 'unknown', 'review')
UNION ALL
SELECT format('payment %s', id), 'in review without a dead letter'
FROM payments
WHERE
    status = 'review'
    AND NOT EXISTS (
        SELECT 1 FROM dead_letters
        WHERE dead_letters.payment_id = payments.id
    )
UNION ALL
SELECT format('refund %s', id), 'in review without a dead letter'
FROM refunds
WHERE
    status = 'review'
    AND NOT EXISTS (
        SELECT 1 FROM dead_letters
        WHERE dead_letters.refund_id = refunds.id
    );

-- name: verify_open
-- What is not simply completed is found where it is looked for, as it is, and nothing else is.
SELECT
    format('payment %s', coalesce(payments.id, open_payments.payment_id)) AS subject,
    format(
        '%s, due %s, is %s, due %s, among the open ones', payments.status, payments.due_at,
        coalesce(open_payments.status, 'nothing'), open_payments.due_at
    ) AS problem
FROM (
    SELECT id, tenant_id, status, due_at FROM payments
    WHERE status <> 'completed' OR due_at IS NOT NULL
) AS payments
FULL JOIN open_payments ON payments.id = open_payments.payment_id
WHERE
    (payments.tenant_id, payments.status, payments.due_at)
    IS DISTINCT FROM (open_payments.tenant_id, open_payments.status, open_payments.due_at);

-- name: verify_queues
-- Who waits behind a dead letter waits behind one that is parked, and who is parked in a queue
-- is waited for.
WITH waiting AS (
    SELECT id, 'charge' AS stage, charge_blocked_by AS blocked_by FROM payments
    WHERE charge_blocked_by IS NOT NULL
    UNION ALL
    SELECT id, 'refund', refund_blocked_by FROM payments
    WHERE refund_blocked_by IS NOT NULL
),

parked AS (
    SELECT id, stage, queued_for FROM dead_letters
    WHERE queued_for IS NOT NULL AND state = 'parked'
)

SELECT
    format('payment %s', waiting.id) AS subject,
    format('waits at %s behind letter %s, which is not parked', waiting.stage, waiting.blocked_by)
    AS problem
FROM waiting
LEFT JOIN parked
    ON
        waiting.blocked_by = parked.id
        AND waiting.id = parked.queued_for AND waiting.stage = parked.stage
WHERE parked.id IS NULL
UNION ALL
SELECT format('dead letter %s', parked.id), 'is parked in a queue that nothing holds up'
FROM parked
LEFT JOIN waiting ON parked.queued_for = waiting.id AND parked.stage = waiting.stage
WHERE waiting.id IS NULL;

-- name: verify_forgotten
-- Due for more than a while: whoever should look does not. Who waits behind a dead letter
-- rests in its queue, which has an owner and an age.
SELECT
    format('payment %s', id) AS subject,
    format('%s, due since %s', status, due_at) AS problem
FROM payments
WHERE
    due_at < now() - make_interval(secs => :forgotten_after_s)
    AND (charge_blocked_by IS NULL OR operation IS NULL)
UNION ALL
SELECT
    format('refund %s', refunds.id),
    format('%s, due since %s', refunds.status, refunds.due_at)
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE
    refunds.due_at < now() - make_interval(secs => :forgotten_after_s)
    AND payments.refund_blocked_by IS NULL;

-- name: verify_in_flight
-- What is not at rest: everything that owes a provider a call, but what is in review; and
-- whoever is due. An authorized payment rests until it expires, and who waits behind a dead
-- letter until that is resolved.
SELECT format('payment %s', id) AS subject, format('%s, due %s', status, due_at) AS problem
FROM payments
WHERE
    (operation IS NOT NULL OR due_at <= now())
    AND (charge_blocked_by IS NULL OR operation IS NULL)
    AND status <> 'review'
UNION ALL
SELECT
    format('refund %s', refunds.id),
    format('%s, due %s', refunds.status, refunds.due_at)
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE
    refunds.due_at IS NOT NULL
    AND refunds.status <> 'review'
    AND payments.refund_blocked_by IS NULL;

-- name: verify_answers
-- What a client was told it had made is there.
WITH answered AS (
    SELECT
        kept.tenant_id, kept.key,
        coalesce(kept.told ->> 'id', kept.told ->> 'delivery_id')::uuid AS id
    FROM (
        SELECT tenant_id, key, recorded_at, convert_from(body, 'UTF8')::json AS told
        FROM idempotency_keys
        WHERE status BETWEEN 200 AND 299
    ) AS kept
    -- What is sent to webhook endpoints is kept as long as keys are, but not to the day.
    WHERE kept.told ->> 'delivery_id' IS NULL OR kept.recorded_at > now() - interval '28 days'
)

SELECT
    format('key %s of %s', answered.key, answered.tenant_id) AS subject,
    format('%s was answered and does not exist', answered.id) AS problem
FROM answered
WHERE
    answered.id IS NULL
    OR NOT (
        EXISTS (
            SELECT 1 FROM payments
            WHERE payments.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM refunds
            WHERE refunds.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM accounts
            WHERE accounts.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM dead_letters
            WHERE dead_letters.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM payment_methods
            WHERE payment_methods.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM webhook_endpoints
            WHERE webhook_endpoints.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM webhook_deliveries
            WHERE webhook_deliveries.id = answered.id
        )
        OR EXISTS (
            SELECT 1 FROM webhook_replays
            WHERE webhook_replays.id = answered.id
        )
    );

-- name: verify_keys
-- One key is one payment or refund, and its answer is kept as long as keys are.
WITH keyed AS (
    SELECT id, tenant_id, idempotency_key, created_at FROM payments
    WHERE idempotency_key IS NOT NULL
    UNION ALL
    SELECT id, tenant_id, idempotency_key, created_at FROM refunds
    WHERE idempotency_key IS NOT NULL
)

SELECT
    format('key %s of %s', idempotency_key, tenant_id) AS subject,
    format('made %s things', count(*)) AS problem
FROM keyed
GROUP BY tenant_id, idempotency_key
HAVING count(*) > 1 AND max(created_at) - min(created_at) < interval '30 days'
UNION ALL
SELECT format('key %s of %s', keyed.idempotency_key, keyed.tenant_id), 'its answer is not kept'
FROM keyed
LEFT JOIN idempotency_keys AS kept
    ON keyed.tenant_id = kept.tenant_id AND keyed.idempotency_key = kept.key
WHERE kept.key IS NULL AND keyed.created_at > now() - interval '30 days';

-- name: verify_sequences
-- Versions and public sequences count 1, 2, 3 ... to where the payment stands. Of what was archived
-- and not read nothing is said.
WITH numbered AS (
    SELECT
        payment_id, version, sequence,
        row_number() OVER (PARTITION BY payment_id ORDER BY version) AS nth,
        count(sequence) OVER (PARTITION BY payment_id ORDER BY version) AS nth_public
    FROM payment_events
),

reached AS (
    SELECT
        payment_id, max(version) AS version, max(sequence) AS sequence,
        bool_and(version = nth AND coalesce(sequence = nth_public, true)) AS has_no_gap
    FROM numbered
    GROUP BY payment_id
)

SELECT
    format('payment %s', coalesce(payments.id, reached.payment_id)) AS subject,
    CASE
        WHEN payments.id IS NULL THEN 'has events and does not exist'
        WHEN reached.payment_id IS NULL THEN 'has no event'
        WHEN NOT reached.has_no_gap THEN 'its events leave a number out'
        ELSE format(
            'is at version %s and sequence %s, its events end at %s and %s',
            payments.version, payments.sequence, reached.version, reached.sequence
        )
    END AS problem
FROM payments
FULL JOIN reached ON payments.id = reached.payment_id
WHERE
    (
        payments.id IS NULL
        OR reached.payment_id IS NULL
        OR NOT reached.has_no_gap
        OR payments.version <> reached.version
        OR payments.sequence <> reached.sequence
    )
    AND NOT EXISTS (
        SELECT 1 FROM archived_history AS archived
        WHERE payments.id >= archived.first_id AND payments.id < archived.end_id
    );

-- name: verify_fold_of_payments
-- The payment is what its last event says it is.
WITH last_events AS (
    SELECT DISTINCT ON (payment_id) payment_id, version, data -> 'payment' AS said
    FROM payment_events
    ORDER BY payment_id ASC, version DESC
),

compared AS (
    SELECT
        payments.id,
        ARRAY[
            payments.status, payments.amount_minor::text, payments.currency,
            payments.captured_minor::text, payments.refunded_minor::text,
            payments.provider_reference, payments.retry_count::text,
            payments.last_error_code, payments.version::text
        ] AS kept,
        ARRAY[
            last_events.said ->> 'status',
            -- What never changes is said by the first event alone, and what is nothing by none.
            coalesce(last_events.said ->> 'amount_minor', payments.amount_minor::text),
            coalesce(last_events.said ->> 'currency', payments.currency),
            coalesce(last_events.said ->> 'captured_minor', '0'),
            coalesce(last_events.said ->> 'refunded_minor', '0'),
            last_events.said ->> 'provider_transaction_id',
            coalesce(last_events.said ->> 'retry_count', '0'),
            last_events.said ->> 'last_error_code', last_events.version::text
        ] AS told
    FROM payments
    INNER JOIN last_events ON payments.id = last_events.payment_id
)

SELECT
    format('payment %s', id) AS subject,
    format('is %s, its last event says %s', kept, told) AS problem
FROM compared
WHERE kept IS DISTINCT FROM told;

-- name: verify_fold_of_refunds
-- A refund whose state is public is what the last event about it says it is.
WITH last_events AS (
    SELECT DISTINCT ON (data -> 'refund' ->> 'id')
        (data -> 'refund' ->> 'id')::uuid AS refund_id, data -> 'refund' ->> 'status' AS status
    FROM payment_events
    WHERE type LIKE 'refund.%'
    ORDER BY data -> 'refund' ->> 'id' ASC, version DESC
)

SELECT
    format('refund %s', refunds.id) AS subject,
    format(
        'is %s, the last event about it says %s', refunds.status,
        coalesce(last_events.status, 'nothing')
    ) AS problem
FROM refunds
LEFT JOIN last_events ON refunds.id = last_events.refund_id
WHERE
    (
        last_events.status IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM archived_history AS archived
            WHERE
                refunds.payment_id >= archived.first_id AND refunds.payment_id < archived.end_id
        )
    )
    OR (
        last_events.status <> refunds.status
        -- That an attempt began is no public fact.
        AND NOT (last_events.status = 'pending' AND refunds.status = 'processing')
    );

-- name: verify_ends
-- What a client saw end stays ended, the same way, but by an operator's redrive, and by a refund
-- that came back.
WITH statuses AS (
    SELECT
        payment_id, version, type, data -> 'payment' ->> 'status' AS status,
        lag(data -> 'payment' ->> 'status') OVER (
            PARTITION BY payment_id ORDER BY version
        ) AS status_before
    FROM payment_events
)

SELECT
    format('payment %s', payment_id) AS subject,
    format('went from %s to %s at version %s', status_before, status, version) AS problem
FROM statuses
WHERE
    (status_before IN ('failed', 'cancelled') AND status <> status_before
        AND NOT (status_before = 'failed' AND type = 'payment.redriven'))
    OR (status_before = 'completed'
        AND status NOT IN ('completed', 'partially_refunded', 'refunded'))
    OR (status_before = 'partially_refunded' AND status NOT IN ('partially_refunded', 'refunded')
        AND type <> 'refund.failed')
    OR (status_before = 'refunded' AND status <> 'refunded' AND type <> 'refund.failed');
