-- What a batch of commands must see before it decides. Rows are locked in one
-- order everywhere: payments, dead letters, accounts, payment methods, webhook endpoints, each by
-- id; so no two batches can wait for each other. NO KEY: ids never change, so foreign keys need
-- not wait. What a batch does that has waited for long enough is in load_free.sql.

-- name: payments_of_refunds
SELECT id, payment_id FROM refunds
WHERE id = any($1::uuid[]);

-- name: subjects_of_dead_letters
SELECT payment_id, refund_id, queued_for FROM dead_letters
WHERE id = any($1::uuid[]);

-- name: lock_payments
SELECT * FROM payments
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE;

-- name: refunds_by_id
-- Not locked: whoever changes a refund holds its payment.
SELECT * FROM refunds
WHERE id = any($1::uuid[]);

-- name: refunds_of_payments
-- Not locked: whoever makes or changes one holds its payment. So it is for disputes.
SELECT * FROM refunds
WHERE payment_id = any($1::uuid[]);

-- name: disputes_of_payments
SELECT * FROM disputes
WHERE payment_id = any($1::uuid[]);

-- name: unresolved_letters_about
-- Asked after the payments are locked: whoever parks or closes one of these holds its payment.
SELECT id FROM dead_letters
WHERE payment_id = any(:payment_ids::uuid[]) AND state = 'parked' AND reason = 'outcome_unresolved';

-- name: lock_dead_letters
-- With those that are parked in the same queues, which only who holds the payment changes.
SELECT * FROM dead_letters
WHERE id = any(:ids::uuid[]) OR (queued_for = any(:queues::uuid[]) AND state = 'parked')
ORDER BY id
FOR NO KEY UPDATE;

-- name: lock_accounts
SELECT * FROM accounts
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE;

-- name: known_provider_events
-- Asked after the payments are locked: whoever took one of these before us held its payment.
SELECT taken.provider, taken.event_id
FROM unnest(:providers::text[], :event_ids::text[]) AS asked (provider, event_id)
INNER JOIN provider_events AS taken
    ON asked.provider = taken.provider AND asked.event_id = taken.event_id;

-- name: lock_payment_methods
SELECT * FROM payment_methods
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE;

-- name: lock_webhook_endpoints
SELECT * FROM webhook_endpoints
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE;

-- name: active_payment_methods
-- Not locked: a payment that sees one before it is detached was accepted before.
SELECT method.*
FROM unnest(:providers::text[], :refs::text[]) AS asked (provider, reference)
CROSS JOIN LATERAL ( -- noqa: ST05
    SELECT known.* FROM payment_methods AS known
    WHERE
        known.provider = asked.provider
        AND known.reference = asked.reference
        AND known.state = 'active'
    ORDER BY known.id
    LIMIT 1
) AS method;

-- name: idempotency_answers
SELECT
    stored.tenant_id, stored.key, stored.fingerprint, stored.status, stored.headers, stored.body,
    stored.provisional
FROM unnest(:tenant_ids::text[], :keys::text[]) AS asked (tenant_id, key)
INNER JOIN idempotency_keys AS stored
    ON asked.tenant_id = stored.tenant_id AND asked.key = stored.key;

-- name: webhook_endpoints_of
-- Those of a tenant that are there, of which there may only be so many.
SELECT asked.tenant_id, count(endpoint.id) AS endpoints
FROM unnest($1::text[]) AS asked (tenant_id)
LEFT JOIN webhook_endpoints AS endpoint
    ON asked.tenant_id = endpoint.tenant_id AND endpoint.state <> 'deleted'
GROUP BY asked.tenant_id;
