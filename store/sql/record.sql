-- Everything a batch of decisions writes. Each statement takes one array a column,
-- named like it, so that a batch of any size is one round trip a table; unnested side
-- by side they are rows again. An UPDATE names the version it saw; the caller compares
-- the rows it touched with those it meant.

-- name: insert_system_accounts
INSERT INTO system_accounts (id, tenant_id, code, currency)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:code::text[]),
    unnest(:currency::text[])
ON CONFLICT DO NOTHING;

-- name: insert_accounts
INSERT INTO accounts (
    id, tenant_id, user_id, currency, status, credits_posted, version, created_at, updated_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:user_id::text[]),
    unnest(:currency::text[]), unnest(:status::text[]), unnest(:credits_posted::bigint[]),
    unnest(:version::integer[]), unnest(:created_at::timestamptz[]),
    unnest(:updated_at::timestamptz[]);

-- name: update_accounts
UPDATE accounts SET
    status = new.status,
    debits_posted = new.debits_posted,
    credits_posted = new.credits_posted,
    debits_pending = new.debits_pending,
    credits_pending = new.credits_pending,
    version = new.version,
    updated_at = new.updated_at
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:status::text[]) AS status, unnest(:debits_posted::bigint[]) AS debits_posted,
        unnest(:credits_posted::bigint[]) AS credits_posted,
        unnest(:debits_pending::bigint[]) AS debits_pending,
        unnest(:credits_pending::bigint[]) AS credits_pending,
        unnest(:version::integer[]) AS version, unnest(:updated_at::timestamptz[]) AS updated_at
) AS new
WHERE accounts.id = new.id AND accounts.version = new.version_before;

-- name: insert_payment_methods
INSERT INTO payment_methods (
    id, tenant_id, account_id, provider, reference, customer_reference, state, version,
    created_at, updated_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:account_id::uuid[]),
    unnest(:provider::text[]), unnest(:reference::text[]), unnest(:customer_reference::text[]),
    unnest(:state::text[]), unnest(:version::integer[]), unnest(:created_at::timestamptz[]),
    unnest(:updated_at::timestamptz[]);

-- name: update_payment_methods
UPDATE payment_methods SET
    state = new.state,
    version = new.version,
    updated_at = new.updated_at
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:state::text[]) AS state, unnest(:version::integer[]) AS version,
        unnest(:updated_at::timestamptz[]) AS updated_at
) AS new
WHERE payment_methods.id = new.id AND payment_methods.version = new.version_before;

-- name: insert_payments
INSERT INTO payments (
    id, tenant_id, idempotency_key, payment_type, source_account_id, destination_account_id,
    amount_minor, currency, capture_method, provider, description, metadata, max_retries,
    created_at, status, provider_reference, hold_id, captured_minor, refunded_minor,
    refund_pending_minor, operation, operation_minor, due_at, lease_id, attempt_count,
    inquiry_count, retry_count, last_error_code, last_error, version, sequence, updated_at,
    completed_at, authorization_expires_at, asked_operation, first_asked_at, disputed_minor,
    payment_method, customer_reference
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:idempotency_key::text[]),
    unnest(:payment_type::text[]), unnest(:source_account_id::uuid[]),
    unnest(:destination_account_id::uuid[]), unnest(:amount_minor::bigint[]),
    unnest(:currency::text[]), unnest(:capture_method::text[]), unnest(:provider::text[]),
    unnest(:description::text[]), unnest(:metadata::json[]), unnest(:max_retries::integer[]),
    unnest(:created_at::timestamptz[]), unnest(:status::text[]),
    unnest(:provider_reference::text[]), unnest(:hold_id::uuid[]),
    unnest(:captured_minor::bigint[]), unnest(:refunded_minor::bigint[]),
    unnest(:refund_pending_minor::bigint[]), unnest(:operation::text[]),
    unnest(:operation_minor::bigint[]), unnest(:due_at::timestamptz[]),
    unnest(:lease_id::uuid[]), unnest(:attempt_count::integer[]),
    unnest(:inquiry_count::integer[]), unnest(:retry_count::integer[]),
    unnest(:last_error_code::text[]), unnest(:last_error::text[]), unnest(:version::integer[]),
    unnest(:sequence::integer[]), unnest(:updated_at::timestamptz[]),
    unnest(:completed_at::timestamptz[]), unnest(:authorization_expires_at::timestamptz[]),
    unnest(:asked_operation::text[]), unnest(:first_asked_at::timestamptz[]),
    unnest(:disputed_minor::bigint[]), unnest(:payment_method::text[]),
    unnest(:customer_reference::text[]);

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
    first_asked_at = new.first_asked_at,
    disputed_minor = new.disputed_minor
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:status::text[]) AS status,
        unnest(:provider_reference::text[]) AS provider_reference,
        unnest(:hold_id::uuid[]) AS hold_id,
        unnest(:captured_minor::bigint[]) AS captured_minor,
        unnest(:refunded_minor::bigint[]) AS refunded_minor,
        unnest(:refund_pending_minor::bigint[]) AS refund_pending_minor,
        unnest(:operation::text[]) AS operation,
        unnest(:operation_minor::bigint[]) AS operation_minor,
        unnest(:due_at::timestamptz[]) AS due_at, unnest(:lease_id::uuid[]) AS lease_id,
        unnest(:attempt_count::integer[]) AS attempt_count,
        unnest(:inquiry_count::integer[]) AS inquiry_count,
        unnest(:retry_count::integer[]) AS retry_count,
        unnest(:last_error_code::text[]) AS last_error_code,
        unnest(:last_error::text[]) AS last_error, unnest(:version::integer[]) AS version,
        unnest(:sequence::integer[]) AS sequence,
        unnest(:updated_at::timestamptz[]) AS updated_at,
        unnest(:completed_at::timestamptz[]) AS completed_at,
        unnest(:authorization_expires_at::timestamptz[]) AS authorization_expires_at,
        unnest(:asked_operation::text[]) AS asked_operation,
        unnest(:first_asked_at::timestamptz[]) AS first_asked_at,
        unnest(:disputed_minor::bigint[]) AS disputed_minor
) AS new
WHERE payments.id = new.id AND payments.version = new.version_before;

-- name: block_payments
-- Which letter a payment's messages wait behind. It raises no version, since it is told of no
-- event; who changes it holds the row.
UPDATE payments SET
    charge_blocked_by = new.charge_blocked_by,
    refund_blocked_by = new.refund_blocked_by
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:charge_blocked_by::uuid[]) AS charge_blocked_by,
        unnest(:refund_blocked_by::uuid[]) AS refund_blocked_by
) AS new
WHERE payments.id = new.id;

-- name: insert_refunds
INSERT INTO refunds (
    id, tenant_id, payment_id, idempotency_key, amount_minor, currency, reason, provider,
    max_retries, created_at, status, provider_reference, due_at, lease_id, attempt_count,
    inquiry_count, retry_count, last_error_code, last_error, version, updated_at, completed_at,
    first_asked_at, origin
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:payment_id::uuid[]),
    unnest(:idempotency_key::text[]), unnest(:amount_minor::bigint[]),
    unnest(:currency::text[]), unnest(:reason::text[]), unnest(:provider::text[]),
    unnest(:max_retries::integer[]), unnest(:created_at::timestamptz[]),
    unnest(:status::text[]), unnest(:provider_reference::text[]),
    unnest(:due_at::timestamptz[]), unnest(:lease_id::uuid[]),
    unnest(:attempt_count::integer[]), unnest(:inquiry_count::integer[]),
    unnest(:retry_count::integer[]), unnest(:last_error_code::text[]),
    unnest(:last_error::text[]), unnest(:version::integer[]),
    unnest(:updated_at::timestamptz[]), unnest(:completed_at::timestamptz[]),
    unnest(:first_asked_at::timestamptz[]), unnest(:origin::text[]);

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
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:status::text[]) AS status,
        unnest(:provider_reference::text[]) AS provider_reference,
        unnest(:due_at::timestamptz[]) AS due_at, unnest(:lease_id::uuid[]) AS lease_id,
        unnest(:attempt_count::integer[]) AS attempt_count,
        unnest(:inquiry_count::integer[]) AS inquiry_count,
        unnest(:retry_count::integer[]) AS retry_count,
        unnest(:last_error_code::text[]) AS last_error_code,
        unnest(:last_error::text[]) AS last_error, unnest(:version::integer[]) AS version,
        unnest(:updated_at::timestamptz[]) AS updated_at,
        unnest(:completed_at::timestamptz[]) AS completed_at,
        unnest(:first_asked_at::timestamptz[]) AS first_asked_at
) AS new
WHERE refunds.id = new.id AND refunds.version = new.version_before;

-- name: insert_disputes
INSERT INTO disputes (
    id, tenant_id, payment_id, provider, reference, kind, amount_minor, currency, state,
    withdrawn_minor, reason, created_at, updated_at, closed_at, version
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:payment_id::uuid[]),
    unnest(:provider::text[]), unnest(:reference::text[]), unnest(:kind::text[]),
    unnest(:amount_minor::bigint[]), unnest(:currency::text[]), unnest(:state::text[]),
    unnest(:withdrawn_minor::bigint[]), unnest(:reason::text[]),
    unnest(:created_at::timestamptz[]), unnest(:updated_at::timestamptz[]),
    unnest(:closed_at::timestamptz[]), unnest(:version::integer[]);

-- name: update_disputes
UPDATE disputes SET
    amount_minor = new.amount_minor,
    state = new.state,
    withdrawn_minor = new.withdrawn_minor,
    reason = new.reason,
    updated_at = new.updated_at,
    closed_at = new.closed_at,
    version = new.version
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:amount_minor::bigint[]) AS amount_minor, unnest(:state::text[]) AS state,
        unnest(:withdrawn_minor::bigint[]) AS withdrawn_minor,
        unnest(:reason::text[]) AS reason, unnest(:updated_at::timestamptz[]) AS updated_at,
        unnest(:closed_at::timestamptz[]) AS closed_at,
        unnest(:version::integer[]) AS version
) AS new
WHERE disputes.id = new.id AND disputes.version = new.version_before;

-- name: insert_ledger_transfers
INSERT INTO ledger_transfers (
    id, tenant_id, state, pending_id, debit_account_id, credit_account_id, amount_minor,
    releases_minor, currency, transaction_type, description, payment_id, refund_id,
    debit_balance_after, credit_balance_after, debit_held_after, recorded_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:state::text[]),
    unnest(:pending_id::uuid[]), unnest(:debit_account_id::uuid[]),
    unnest(:credit_account_id::uuid[]), unnest(:amount_minor::bigint[]),
    unnest(:releases_minor::bigint[]), unnest(:currency::text[]),
    unnest(:transaction_type::text[]), unnest(:description::text[]),
    unnest(:payment_id::uuid[]), unnest(:refund_id::uuid[]),
    unnest(:debit_balance_after::bigint[]), unnest(:credit_balance_after::bigint[]),
    unnest(:debit_held_after::bigint[]), unnest(:recorded_at::timestamptz[]);

-- name: insert_attempts
INSERT INTO attempts (
    id, tenant_id, payment_id, refund_id, number, operation, inquiry, provider, provider_key,
    worker, lease_expires_at, started_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:payment_id::uuid[]),
    unnest(:refund_id::uuid[]), unnest(:number::integer[]), unnest(:operation::text[]),
    unnest(:inquiry::boolean[]), unnest(:provider::text[]), unnest(:provider_key::text[]),
    unnest(:worker::text[]), unnest(:lease_expires_at::timestamptz[]),
    unnest(:started_at::timestamptz[]);

-- name: finish_attempts
-- A late answer overwrites 'lease_expired', and nothing else. Found by what it is for: an id alone
-- does not say in which partition, and what it is for has few.
UPDATE attempts SET
    finished_at = new.finished_at,
    outcome = new.outcome,
    provider_reference = new.provider_reference,
    error_code = new.error_code,
    error = new.error
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:payment_id::uuid[]) AS payment_id,
        unnest(:subject_id::uuid[]) AS subject_id,
        unnest(:finished_at::timestamptz[]) AS finished_at, unnest(:outcome::text[]) AS outcome,
        unnest(:provider_reference::text[]) AS provider_reference,
        unnest(:error_code::text[]) AS error_code, unnest(:error::text[]) AS error
) AS new
WHERE
    attempts.payment_id = new.payment_id
    AND coalesce(attempts.refund_id, attempts.payment_id) = new.subject_id
    AND attempts.id = new.id
    AND (attempts.outcome IS NULL OR attempts.outcome = 'lease_expired');

-- name: insert_payment_events
INSERT INTO payment_events (payment_id, version, id, tenant_id, sequence, type, data, occurred_at)
SELECT
    unnest(:payment_id::uuid[]), unnest(:version::integer[]), unnest(:id::uuid[]),
    unnest(:tenant_id::text[]), unnest(:sequence::integer[]), unnest(:type::text[]),
    unnest(:data::json[]), unnest(:occurred_at::timestamptz[]);

-- name: insert_outbox
-- Behind which position none of it lies.
WITH said AS (
    INSERT INTO outbox (
        id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, causationid,
        traceparent, tracestate, occurred_at, recorded_at
    )
    SELECT
        unnest(:id::uuid[]), unnest(:aggregatetype::text[]), unnest(:aggregateid::text[]),
        unnest(:type::text[]), unnest(:payload::json[]), unnest(:tenant_id::text[]),
        unnest(:sequence::integer[]), unnest(:causationid::uuid[]), unnest(:traceparent::text[]),
        unnest(:tracestate::text[]), unnest(:occurred_at::timestamptz[]),
        unnest(:recorded_at::timestamptz[])
    RETURNING position
)

SELECT max(position) AS position FROM said;

-- name: dead_letters_parked
SELECT id FROM dead_letters
WHERE id = any(:ids::uuid[]);

-- name: insert_dead_letters
-- One that another transaction is parking makes this one wait, fail and be decided again. As the
-- last decision of the batch left it: an operator may close what was parked a moment before.
INSERT INTO dead_letters (
    id, tenant_id, stage, reason, error, payment_id, refund_id, topic, message_partition,
    message_offset, message_key, message_value, message_headers, attempts, first_failed_at,
    last_failed_at, queued_for, waits_behind, state, resolved_at, resolved_by, resolution, version
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:stage::text[]),
    unnest(:reason::text[]), unnest(:error::text[]), unnest(:payment_id::uuid[]),
    unnest(:refund_id::uuid[]), unnest(:topic::text[]), unnest(:message_partition::integer[]),
    unnest(:message_offset::bigint[]), unnest(:message_key::bytea[]),
    unnest(:message_value::bytea[]), unnest(:message_headers::json[]),
    unnest(:attempts::integer[]), unnest(:first_failed_at::timestamptz[]),
    unnest(:last_failed_at::timestamptz[]), unnest(:queued_for::uuid[]),
    unnest(:waits_behind::uuid[]), unnest(:state::text[]), unnest(:resolved_at::timestamptz[]),
    unnest(:resolved_by::text[]), unnest(:resolution::text[]), unnest(:version::integer[]);

-- name: update_dead_letters
UPDATE dead_letters SET
    state = new.state,
    resolved_at = new.resolved_at,
    resolved_by = new.resolved_by,
    resolution = new.resolution,
    waits_behind = new.waits_behind,
    version = new.version
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:state::text[]) AS state, unnest(:resolved_at::timestamptz[]) AS resolved_at,
        unnest(:resolved_by::text[]) AS resolved_by, unnest(:resolution::text[]) AS resolution,
        unnest(:waits_behind::uuid[]) AS waits_behind, unnest(:version::integer[]) AS version
) AS new
WHERE dead_letters.id = new.id AND dead_letters.version = new.version_before;

-- name: insert_provider_events
-- One id in two notifications about different payments fails the batch, which is decided again.
INSERT INTO provider_events (
    provider, event_id, tenant_id, type, payment_id, refund_id, effect, received_at
)
SELECT
    unnest(:provider::text[]), unnest(:event_id::text[]), unnest(:tenant_id::text[]),
    unnest(:type::text[]), unnest(:payment_id::uuid[]), unnest(:refund_id::uuid[]),
    unnest(:effect::text[]), unnest(:received_at::timestamptz[]);

-- name: insert_operator_actions
INSERT INTO operator_actions (
    id, tenant_id, actor, reason, action, payment_id, refund_id, detail, recorded_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:actor::text[]),
    unnest(:reason::text[]), unnest(:action::text[]), unnest(:payment_id::uuid[]),
    unnest(:refund_id::uuid[]), unnest(:detail::json[]), unnest(:recorded_at::timestamptz[]);

-- name: insert_idempotency_keys
-- A key another transaction is inserting makes this one wait for it, and then fail:
-- the batch is rolled back and decided again, with the other's answer in sight.
INSERT INTO idempotency_keys (
    tenant_id, key, fingerprint, status, headers, body, recorded_at, provisional
)
SELECT * FROM (
    SELECT
        unnest(:tenant_id::text[]) AS tenant_id, unnest(:key::text[]) AS key,
        unnest(:fingerprint::bytea[]), unnest(:status::smallint[]), unnest(:headers::json[]),
        unnest(:body::bytea[]), unnest(:recorded_at::timestamptz[]),
        unnest(:provisional::boolean[])
) AS new
ORDER BY tenant_id, key;

-- name: settle_answer
-- Once, whoever comes first: nobody was given what it replaces.
UPDATE idempotency_keys SET
    status = :status,
    headers = :headers,
    body = :body,
    provisional = FALSE
WHERE tenant_id = :tenant_id AND key = :key AND provisional;
