-- Everything a batch of decisions writes. Each statement takes one array a column
-- (unnest), so that a batch of any size is one round trip a table. An UPDATE names
-- the version it saw; the caller compares the rows it touched with those it meant.

-- name: insert_system_accounts
INSERT INTO system_accounts (id, tenant_id, code, currency)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
ON CONFLICT DO NOTHING;

-- name: insert_accounts
INSERT INTO accounts (
    id, tenant_id, user_id, currency, status, credits_posted, version, created_at, updated_at
)
SELECT
    id, tenant_id, user_id, currency, status, credits_posted, version, created_at, created_at
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::integer[], $8::timestamptz[]
) AS new (id, tenant_id, user_id, currency, status, credits_posted, version, created_at);

-- name: update_accounts
UPDATE accounts SET
    status = new.status,
    debits_posted = new.debits_posted,
    credits_posted = new.credits_posted,
    debits_pending = new.debits_pending,
    credits_pending = new.credits_pending,
    version = new.version,
    updated_at = new.updated_at
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::integer[], $9::timestamptz[]
) AS new (
    id, version_before, status, debits_posted, credits_posted, debits_pending,
    credits_pending, version, updated_at
)
WHERE accounts.id = new.id AND accounts.version = new.version_before;

-- name: insert_payments
INSERT INTO payments (
    tenant_id, idempotency_key, payment_type, source_account_id, destination_account_id,
    amount_minor, currency, capture_method, provider, description, metadata, max_retries,
    created_at, id, status, provider_reference, hold_id, captured_minor, refunded_minor,
    refund_pending_minor, operation, operation_minor, due_at, lease_id, attempt_count,
    inquiry_count, retry_count, last_error_code, last_error, version, sequence, updated_at,
    completed_at, authorization_expires_at, asked_operation, first_asked_at
)
SELECT
    tenant_id, idempotency_key, payment_type, source_account_id, destination_account_id,
    amount_minor, currency, capture_method, provider, description, metadata, max_retries,
    created_at, id, status, provider_reference, hold_id, captured_minor, refunded_minor,
    refund_pending_minor, operation, operation_minor, due_at, lease_id, attempt_count,
    inquiry_count, retry_count, last_error_code, last_error, version, sequence, updated_at,
    completed_at, authorization_expires_at, asked_operation, first_asked_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::json[], $12::integer[],
    $13::timestamptz[], $14::uuid[], $15::integer[], $16::text[], $17::text[],
    $18::uuid[], $19::bigint[], $20::bigint[], $21::bigint[], $22::text[],
    $23::bigint[], $24::timestamptz[], $25::uuid[], $26::integer[], $27::integer[],
    $28::integer[], $29::text[], $30::text[], $31::integer[], $32::integer[],
    $33::timestamptz[], $34::timestamptz[], $35::timestamptz[], $36::text[],
    $37::timestamptz[]
) AS new (
    tenant_id, idempotency_key, payment_type, source_account_id, destination_account_id,
    amount_minor, currency, capture_method, provider, description, metadata, max_retries,
    created_at, id, version_before, status, provider_reference, hold_id, captured_minor,
    refunded_minor, refund_pending_minor, operation, operation_minor, due_at, lease_id,
    attempt_count, inquiry_count, retry_count, last_error_code, last_error, version,
    sequence, updated_at, completed_at, authorization_expires_at, asked_operation,
    first_asked_at
);

-- name: update_payments
UPDATE payments SET
    status = new.status,
    provider_reference = new.provider_reference,
    hold_id = new.hold_id,
    captured_minor = new.captured_minor,
    refunded_minor = new.refunded_minor,
    refund_pending_minor = new.refund_pending_minor,
    operation = new.operation,
    operation_minor = new.operation_minor,
    due_at = new.due_at,
    lease_id = new.lease_id,
    attempt_count = new.attempt_count,
    inquiry_count = new.inquiry_count,
    retry_count = new.retry_count,
    last_error_code = new.last_error_code,
    last_error = new.last_error,
    version = new.version,
    sequence = new.sequence,
    updated_at = new.updated_at,
    completed_at = new.completed_at,
    authorization_expires_at = new.authorization_expires_at,
    asked_operation = new.asked_operation,
    first_asked_at = new.first_asked_at
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::uuid[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::timestamptz[],
    $12::uuid[], $13::integer[], $14::integer[], $15::integer[], $16::text[],
    $17::text[], $18::integer[], $19::integer[], $20::timestamptz[], $21::timestamptz[],
    $22::timestamptz[], $23::text[], $24::timestamptz[]
) AS new (
    id, version_before, status, provider_reference, hold_id, captured_minor,
    refunded_minor, refund_pending_minor, operation, operation_minor, due_at, lease_id,
    attempt_count, inquiry_count, retry_count, last_error_code, last_error, version,
    sequence, updated_at, completed_at, authorization_expires_at, asked_operation,
    first_asked_at
)
WHERE payments.id = new.id AND payments.version = new.version_before;

-- name: block_payments
-- Which letter a payment's messages wait behind. It raises no version, since it is told of no
-- event; who changes it holds the row.
UPDATE payments SET
    charge_blocked_by = new.charge_blocked_by,
    refund_blocked_by = new.refund_blocked_by
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS new (id, charge_blocked_by, refund_blocked_by)
WHERE payments.id = new.id;

-- name: insert_refunds
INSERT INTO refunds (
    tenant_id, payment_id, idempotency_key, amount_minor, currency, reason, provider,
    max_retries, created_at, id, status, provider_reference, due_at, lease_id,
    attempt_count, inquiry_count, retry_count, last_error_code, last_error, version,
    updated_at, completed_at, first_asked_at
)
SELECT
    tenant_id, payment_id, idempotency_key, amount_minor, currency, reason, provider,
    max_retries, created_at, id, status, provider_reference, due_at, lease_id,
    attempt_count, inquiry_count, retry_count, last_error_code, last_error, version,
    updated_at, completed_at, first_asked_at
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[],
    $7::text[], $8::integer[], $9::timestamptz[], $10::uuid[], $11::integer[],
    $12::text[], $13::text[], $14::timestamptz[], $15::uuid[], $16::integer[],
    $17::integer[], $18::integer[], $19::text[], $20::text[], $21::integer[],
    $22::timestamptz[], $23::timestamptz[], $24::timestamptz[]
) AS new (
    tenant_id, payment_id, idempotency_key, amount_minor, currency, reason, provider,
    max_retries, created_at, id, version_before, status, provider_reference, due_at,
    lease_id, attempt_count, inquiry_count, retry_count, last_error_code, last_error,
    version, updated_at, completed_at, first_asked_at
);

-- name: update_refunds
UPDATE refunds SET
    status = new.status,
    provider_reference = new.provider_reference,
    due_at = new.due_at,
    lease_id = new.lease_id,
    attempt_count = new.attempt_count,
    inquiry_count = new.inquiry_count,
    retry_count = new.retry_count,
    last_error_code = new.last_error_code,
    last_error = new.last_error,
    version = new.version,
    updated_at = new.updated_at,
    completed_at = new.completed_at,
    first_asked_at = new.first_asked_at
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[],
    $7::integer[], $8::integer[], $9::integer[], $10::text[], $11::text[],
    $12::integer[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[]
) AS new (
    id, version_before, status, provider_reference, due_at, lease_id, attempt_count,
    inquiry_count, retry_count, last_error_code, last_error, version, updated_at,
    completed_at, first_asked_at
)
WHERE refunds.id = new.id AND refunds.version = new.version_before;

-- name: insert_ledger_transfers
INSERT INTO ledger_transfers (
    id, tenant_id, state, pending_id, debit_account_id, credit_account_id, amount_minor,
    releases_minor, currency, transaction_type, description, payment_id, refund_id,
    debit_balance_after, credit_balance_after, recorded_at
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::uuid[],
    $13::uuid[], $14::bigint[], $15::bigint[], $16::timestamptz[]
);

-- name: insert_attempts
INSERT INTO attempts (
    id, tenant_id, payment_id, refund_id, number, operation, inquiry, provider,
    provider_key, worker, lease_expires_at, started_at
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::integer[], $6::text[],
    $7::boolean[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
    $12::timestamptz[]
);

-- name: finish_attempts
-- A late answer overwrites 'lease_expired', and nothing else.
UPDATE attempts SET
    finished_at = new.finished_at,
    outcome = new.outcome,
    provider_reference = new.provider_reference,
    error_code = new.error_code,
    error = new.error
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[]
) AS new (id, finished_at, outcome, provider_reference, error_code, error)
WHERE
    attempts.id = new.id
    AND (attempts.outcome IS NULL OR attempts.outcome = 'lease_expired');

-- name: insert_payment_events
INSERT INTO payment_events (payment_id, version, id, tenant_id, sequence, type, data, occurred_at)
SELECT * FROM unnest(
    $1::uuid[], $2::integer[], $3::uuid[], $4::text[], $5::integer[], $6::text[],
    $7::json[], $8::timestamptz[]
);

-- name: insert_outbox
INSERT INTO outbox (
    id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, causationid,
    traceparent, occurred_at, recorded_at
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::json[], $6::text[],
    $7::integer[], $8::uuid[], $9::text[], $10::timestamptz[], $11::timestamptz[]
);

-- name: dead_letters_parked
SELECT id FROM dead_letters
WHERE id = any($1::uuid[]);

-- name: insert_dead_letters
-- One that another transaction is parking makes this one wait, fail and be decided again.
INSERT INTO dead_letters (
    id, tenant_id, stage, reason, error, payment_id, refund_id, topic, message_partition,
    message_offset, message_key, message_value, message_headers, attempts,
    first_failed_at, last_failed_at, queued_for, waits_behind, state, version
)
SELECT new.*, 'parked', 1 FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[],
    $7::uuid[], $8::text[], $9::integer[], $10::bigint[], $11::bytea[], $12::bytea[],
    $13::json[], $14::integer[], $15::timestamptz[], $16::timestamptz[], $17::uuid[],
    $18::uuid[]
) AS new;

-- name: update_dead_letters
UPDATE dead_letters SET
    state = new.state,
    resolved_at = new.resolved_at,
    resolved_by = new.resolved_by,
    resolution = new.resolution,
    waits_behind = new.waits_behind,
    version = new.version
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::text[], $6::text[],
    $7::uuid[], $8::integer[]
) AS new (id, version_before, state, resolved_at, resolved_by, resolution, waits_behind, version)
WHERE dead_letters.id = new.id AND dead_letters.version = new.version_before;

-- name: insert_provider_events
-- One id in two notifications about different payments fails the batch, which is decided again.
INSERT INTO provider_events (
    provider, event_id, tenant_id, type, payment_id, refund_id, effect, received_at
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[],
    $8::timestamptz[]
);

-- name: insert_idempotency_keys
-- A key another transaction is inserting makes this one wait for it, and then fail:
-- the batch is rolled back and decided again, with the other's answer in sight.
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, recorded_at)
SELECT new.* FROM unnest(
    $1::text[], $2::text[], $3::bytea[], $4::smallint[], $5::json[], $6::bytea[],
    $7::timestamptz[]
) AS new (tenant_id, key, fingerprint, status, headers, body, recorded_at)
ORDER BY new.tenant_id, new.key;
