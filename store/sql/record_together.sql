-- All that a batch of the usual commands writes, in one statement. Its parts are record.sql's, word
-- for word, which a test sees to; the name of a parameter begins with what it is of. In which order
-- the parts run is no matter: the rows that are changed are locked, and all others are new.

-- name: record_accepted
-- How many accounts were as they were seen, which the caller compares; and behind which position
-- none of what was said lies.
WITH changed_accounts AS (
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
            unnest(:account_id::uuid[]) AS id,
            unnest(:account_version_before::integer[]) AS version_before,
            unnest(:account_status::text[]) AS status,
            unnest(:account_debits_posted::bigint[]) AS debits_posted,
            unnest(:account_credits_posted::bigint[]) AS credits_posted,
            unnest(:account_debits_pending::bigint[]) AS debits_pending,
            unnest(:account_credits_pending::bigint[]) AS credits_pending,
            unnest(:account_version::integer[]) AS version,
            unnest(:account_updated_at::timestamptz[]) AS updated_at
    ) AS new
    WHERE accounts.id = new.id AND accounts.version = new.version_before
    RETURNING accounts.id
),

new_payments AS (
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
        unnest(:payment_id::uuid[]), unnest(:payment_tenant_id::text[]),
        unnest(:payment_idempotency_key::text[]), unnest(:payment_payment_type::text[]),
        unnest(:payment_source_account_id::uuid[]), unnest(:payment_destination_account_id::uuid[]),
        unnest(:payment_amount_minor::bigint[]), unnest(:payment_currency::text[]),
        unnest(:payment_capture_method::text[]), unnest(:payment_provider::text[]),
        unnest(:payment_description::text[]), unnest(:payment_metadata::json[]),
        unnest(:payment_max_retries::integer[]), unnest(:payment_created_at::timestamptz[]),
        unnest(:payment_status::text[]), unnest(:payment_provider_reference::text[]),
        unnest(:payment_hold_id::uuid[]), unnest(:payment_captured_minor::bigint[]),
        unnest(:payment_refunded_minor::bigint[]), unnest(:payment_refund_pending_minor::bigint[]),
        unnest(:payment_operation::text[]), unnest(:payment_operation_minor::bigint[]),
        unnest(:payment_due_at::timestamptz[]), unnest(:payment_lease_id::uuid[]),
        unnest(:payment_attempt_count::integer[]), unnest(:payment_inquiry_count::integer[]),
        unnest(:payment_retry_count::integer[]), unnest(:payment_last_error_code::text[]),
        unnest(:payment_last_error::text[]), unnest(:payment_version::integer[]),
        unnest(:payment_sequence::integer[]), unnest(:payment_updated_at::timestamptz[]),
        unnest(:payment_completed_at::timestamptz[]),
        unnest(:payment_authorization_expires_at::timestamptz[]),
        unnest(:payment_asked_operation::text[]), unnest(:payment_first_asked_at::timestamptz[]),
        unnest(:payment_disputed_minor::bigint[]), unnest(:payment_payment_method::text[]),
        unnest(:payment_customer_reference::text[])
),

new_transfers AS (
    INSERT INTO ledger_transfers (
        id, tenant_id, state, pending_id, debit_account_id, credit_account_id, amount_minor,
        releases_minor, currency, transaction_type, description, payment_id, refund_id,
        debit_balance_after, credit_balance_after, debit_held_after, recorded_at
    )
    SELECT
        unnest(:transfer_id::uuid[]), unnest(:transfer_tenant_id::text[]),
        unnest(:transfer_state::text[]), unnest(:transfer_pending_id::uuid[]),
        unnest(:transfer_debit_account_id::uuid[]), unnest(:transfer_credit_account_id::uuid[]),
        unnest(:transfer_amount_minor::bigint[]), unnest(:transfer_releases_minor::bigint[]),
        unnest(:transfer_currency::text[]), unnest(:transfer_transaction_type::text[]),
        unnest(:transfer_description::text[]), unnest(:transfer_payment_id::uuid[]),
        unnest(:transfer_refund_id::uuid[]), unnest(:transfer_debit_balance_after::bigint[]),
        unnest(:transfer_credit_balance_after::bigint[]),
        unnest(:transfer_debit_held_after::bigint[]), unnest(:transfer_recorded_at::timestamptz[])
),

new_events AS (
    INSERT INTO payment_events (
        payment_id, version, id, tenant_id, sequence, type, data, occurred_at
    )
    SELECT
        unnest(:event_payment_id::uuid[]), unnest(:event_version::integer[]),
        unnest(:event_id::uuid[]), unnest(:event_tenant_id::text[]),
        unnest(:event_sequence::integer[]), unnest(:event_type::text[]),
        unnest(:event_data::json[]), unnest(:event_occurred_at::timestamptz[])
),

new_messages AS (
    INSERT INTO outbox (
        id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, causationid,
        traceparent, tracestate, occurred_at, recorded_at
    )
    SELECT
        unnest(:message_id::uuid[]), unnest(:message_aggregatetype::text[]),
        unnest(:message_aggregateid::text[]), unnest(:message_type::text[]),
        unnest(:message_payload::json[]), unnest(:message_tenant_id::text[]),
        unnest(:message_sequence::integer[]), unnest(:message_causationid::uuid[]),
        unnest(:message_traceparent::text[]), unnest(:message_tracestate::text[]),
        unnest(:message_occurred_at::timestamptz[]), unnest(:message_recorded_at::timestamptz[])
    RETURNING position
)

SELECT
    (SELECT count(*) FROM changed_accounts) AS changed,
    (SELECT max(said.position) FROM new_messages AS said) AS position;

-- name: record_claimed
-- Claims: how many payments were as they were seen; nothing is said to anybody.
WITH changed_payments AS (
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
            unnest(:payment_id::uuid[]) AS id,
            unnest(:payment_version_before::integer[]) AS version_before,
            unnest(:payment_status::text[]) AS status,
            unnest(:payment_provider_reference::text[]) AS provider_reference,
            unnest(:payment_hold_id::uuid[]) AS hold_id,
            unnest(:payment_captured_minor::bigint[]) AS captured_minor,
            unnest(:payment_refunded_minor::bigint[]) AS refunded_minor,
            unnest(:payment_refund_pending_minor::bigint[]) AS refund_pending_minor,
            unnest(:payment_operation::text[]) AS operation,
            unnest(:payment_operation_minor::bigint[]) AS operation_minor,
            unnest(:payment_due_at::timestamptz[]) AS due_at,
            unnest(:payment_lease_id::uuid[]) AS lease_id,
            unnest(:payment_attempt_count::integer[]) AS attempt_count,
            unnest(:payment_inquiry_count::integer[]) AS inquiry_count,
            unnest(:payment_retry_count::integer[]) AS retry_count,
            unnest(:payment_last_error_code::text[]) AS last_error_code,
            unnest(:payment_last_error::text[]) AS last_error,
            unnest(:payment_version::integer[]) AS version,
            unnest(:payment_sequence::integer[]) AS sequence,
            unnest(:payment_updated_at::timestamptz[]) AS updated_at,
            unnest(:payment_completed_at::timestamptz[]) AS completed_at,
            unnest(:payment_authorization_expires_at::timestamptz[]) AS authorization_expires_at,
            unnest(:payment_asked_operation::text[]) AS asked_operation,
            unnest(:payment_first_asked_at::timestamptz[]) AS first_asked_at,
            unnest(:payment_disputed_minor::bigint[]) AS disputed_minor
    ) AS new
    WHERE payments.id = new.id AND payments.version = new.version_before
    RETURNING payments.id
),

new_attempts AS (
    INSERT INTO attempts (
        id, tenant_id, payment_id, refund_id, number, operation, inquiry, provider, provider_key,
        worker, lease_expires_at, started_at
    )
    SELECT
        unnest(:attempt_id::uuid[]), unnest(:attempt_tenant_id::text[]),
        unnest(:attempt_payment_id::uuid[]), unnest(:attempt_refund_id::uuid[]),
        unnest(:attempt_number::integer[]), unnest(:attempt_operation::text[]),
        unnest(:attempt_inquiry::boolean[]), unnest(:attempt_provider::text[]),
        unnest(:attempt_provider_key::text[]), unnest(:attempt_worker::text[]),
        unnest(:attempt_lease_expires_at::timestamptz[]), unnest(:attempt_started_at::timestamptz[])
),

new_events AS (
    INSERT INTO payment_events (
        payment_id, version, id, tenant_id, sequence, type, data, occurred_at
    )
    SELECT
        unnest(:event_payment_id::uuid[]), unnest(:event_version::integer[]),
        unnest(:event_id::uuid[]), unnest(:event_tenant_id::text[]),
        unnest(:event_sequence::integer[]), unnest(:event_type::text[]),
        unnest(:event_data::json[]), unnest(:event_occurred_at::timestamptz[])
)

SELECT
    (SELECT count(*) FROM changed_payments) AS changed,
    NULL::bigint AS position;

-- name: record_worked
-- What stages do with claims among settlements: how many accounts and payments were as they were
-- seen, and behind which position none of what was said lies. An attempt is not finished in the
-- statement that inserts it, which the caller sees to.
WITH changed_accounts AS (
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
            unnest(:account_id::uuid[]) AS id,
            unnest(:account_version_before::integer[]) AS version_before,
            unnest(:account_status::text[]) AS status,
            unnest(:account_debits_posted::bigint[]) AS debits_posted,
            unnest(:account_credits_posted::bigint[]) AS credits_posted,
            unnest(:account_debits_pending::bigint[]) AS debits_pending,
            unnest(:account_credits_pending::bigint[]) AS credits_pending,
            unnest(:account_version::integer[]) AS version,
            unnest(:account_updated_at::timestamptz[]) AS updated_at
    ) AS new
    WHERE accounts.id = new.id AND accounts.version = new.version_before
    RETURNING accounts.id
),

changed_payments AS (
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
            unnest(:payment_id::uuid[]) AS id,
            unnest(:payment_version_before::integer[]) AS version_before,
            unnest(:payment_status::text[]) AS status,
            unnest(:payment_provider_reference::text[]) AS provider_reference,
            unnest(:payment_hold_id::uuid[]) AS hold_id,
            unnest(:payment_captured_minor::bigint[]) AS captured_minor,
            unnest(:payment_refunded_minor::bigint[]) AS refunded_minor,
            unnest(:payment_refund_pending_minor::bigint[]) AS refund_pending_minor,
            unnest(:payment_operation::text[]) AS operation,
            unnest(:payment_operation_minor::bigint[]) AS operation_minor,
            unnest(:payment_due_at::timestamptz[]) AS due_at,
            unnest(:payment_lease_id::uuid[]) AS lease_id,
            unnest(:payment_attempt_count::integer[]) AS attempt_count,
            unnest(:payment_inquiry_count::integer[]) AS inquiry_count,
            unnest(:payment_retry_count::integer[]) AS retry_count,
            unnest(:payment_last_error_code::text[]) AS last_error_code,
            unnest(:payment_last_error::text[]) AS last_error,
            unnest(:payment_version::integer[]) AS version,
            unnest(:payment_sequence::integer[]) AS sequence,
            unnest(:payment_updated_at::timestamptz[]) AS updated_at,
            unnest(:payment_completed_at::timestamptz[]) AS completed_at,
            unnest(:payment_authorization_expires_at::timestamptz[]) AS authorization_expires_at,
            unnest(:payment_asked_operation::text[]) AS asked_operation,
            unnest(:payment_first_asked_at::timestamptz[]) AS first_asked_at,
            unnest(:payment_disputed_minor::bigint[]) AS disputed_minor
    ) AS new
    WHERE payments.id = new.id AND payments.version = new.version_before
    RETURNING payments.id
),

new_transfers AS (
    INSERT INTO ledger_transfers (
        id, tenant_id, state, pending_id, debit_account_id, credit_account_id, amount_minor,
        releases_minor, currency, transaction_type, description, payment_id, refund_id,
        debit_balance_after, credit_balance_after, debit_held_after, recorded_at
    )
    SELECT
        unnest(:transfer_id::uuid[]), unnest(:transfer_tenant_id::text[]),
        unnest(:transfer_state::text[]), unnest(:transfer_pending_id::uuid[]),
        unnest(:transfer_debit_account_id::uuid[]), unnest(:transfer_credit_account_id::uuid[]),
        unnest(:transfer_amount_minor::bigint[]), unnest(:transfer_releases_minor::bigint[]),
        unnest(:transfer_currency::text[]), unnest(:transfer_transaction_type::text[]),
        unnest(:transfer_description::text[]), unnest(:transfer_payment_id::uuid[]),
        unnest(:transfer_refund_id::uuid[]), unnest(:transfer_debit_balance_after::bigint[]),
        unnest(:transfer_credit_balance_after::bigint[]),
        unnest(:transfer_debit_held_after::bigint[]), unnest(:transfer_recorded_at::timestamptz[])
),

new_attempts AS (
    INSERT INTO attempts (
        id, tenant_id, payment_id, refund_id, number, operation, inquiry, provider, provider_key,
        worker, lease_expires_at, started_at
    )
    SELECT
        unnest(:attempt_id::uuid[]), unnest(:attempt_tenant_id::text[]),
        unnest(:attempt_payment_id::uuid[]), unnest(:attempt_refund_id::uuid[]),
        unnest(:attempt_number::integer[]), unnest(:attempt_operation::text[]),
        unnest(:attempt_inquiry::boolean[]), unnest(:attempt_provider::text[]),
        unnest(:attempt_provider_key::text[]), unnest(:attempt_worker::text[]),
        unnest(:attempt_lease_expires_at::timestamptz[]), unnest(:attempt_started_at::timestamptz[])
),

finished_attempts AS (
    UPDATE attempts SET
        finished_at = new.finished_at,
        outcome = new.outcome,
        provider_reference = new.provider_reference,
        error_code = new.error_code,
        error = new.error
    FROM (
        SELECT
            unnest(:result_id::uuid[]) AS id, unnest(:result_payment_id::uuid[]) AS payment_id,
            unnest(:result_subject_id::uuid[]) AS subject_id,
            unnest(:result_finished_at::timestamptz[]) AS finished_at,
            unnest(:result_outcome::text[]) AS outcome,
            unnest(:result_provider_reference::text[]) AS provider_reference,
            unnest(:result_error_code::text[]) AS error_code, unnest(:result_error::text[]) AS error
    ) AS new
    WHERE
        attempts.payment_id = new.payment_id
        AND coalesce(attempts.refund_id, attempts.payment_id) = new.subject_id
        AND attempts.id = new.id
        AND (attempts.outcome IS NULL OR attempts.outcome = 'lease_expired')
),

new_events AS (
    INSERT INTO payment_events (
        payment_id, version, id, tenant_id, sequence, type, data, occurred_at
    )
    SELECT
        unnest(:event_payment_id::uuid[]), unnest(:event_version::integer[]),
        unnest(:event_id::uuid[]), unnest(:event_tenant_id::text[]),
        unnest(:event_sequence::integer[]), unnest(:event_type::text[]),
        unnest(:event_data::json[]), unnest(:event_occurred_at::timestamptz[])
),

new_messages AS (
    INSERT INTO outbox (
        id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, causationid,
        traceparent, tracestate, occurred_at, recorded_at
    )
    SELECT
        unnest(:message_id::uuid[]), unnest(:message_aggregatetype::text[]),
        unnest(:message_aggregateid::text[]), unnest(:message_type::text[]),
        unnest(:message_payload::json[]), unnest(:message_tenant_id::text[]),
        unnest(:message_sequence::integer[]), unnest(:message_causationid::uuid[]),
        unnest(:message_traceparent::text[]), unnest(:message_tracestate::text[]),
        unnest(:message_occurred_at::timestamptz[]), unnest(:message_recorded_at::timestamptz[])
    RETURNING position
)

SELECT
    (SELECT count(*) FROM changed_accounts) + (SELECT count(*) FROM changed_payments) AS changed,
    (SELECT max(said.position) FROM new_messages AS said) AS position;
