-- What pgbench calls: the writes of one accepted payment, as fast as one function can be.

CREATE TABLE bench_sample (event text NOT NULL, work text NOT NULL, answer bytea NOT NULL);

CREATE TABLE bench_accounts (number integer PRIMARY KEY, id uuid NOT NULL);

INSERT INTO bench_accounts
SELECT number, uuidv7() FROM generate_series(1, 100) AS number;

INSERT INTO accounts (
    id, tenant_id, user_id, currency, status, credits_posted, version, created_at, updated_at
)
SELECT id, 'default', 'bench', 'USD', 'active', 900000000000, 1, now(), now()
FROM bench_accounts;

CREATE FUNCTION bench_accept(account_number integer) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    account_id uuid := (SELECT id FROM bench_accounts WHERE number = account_number);
    payment_id uuid := uuidv7();
    hold uuid := uuidv7();
    event_id uuid := uuidv7();
    used_key text := gen_random_uuid()::text;
    sample bench_sample;
BEGIN
    SELECT * INTO sample FROM bench_sample;
    UPDATE accounts
    SET debits_pending = debits_pending + 100, version = version + 1, updated_at = now()
    WHERE
        id = account_id AND tenant_id = 'default' AND status = 'active' AND currency = 'USD'
        AND credits_posted - debits_posted - debits_pending >= 100;
    IF NOT FOUND THEN
        RAISE 'insufficient funds';
    END IF;
    INSERT INTO idempotency_keys (
        tenant_id, key, fingerprint, status, headers, body, recorded_at
    ) VALUES (
        'default', used_key, sha256(used_key::bytea), 202, '{}', sample.answer, now()
    );
    INSERT INTO payments (
        id, tenant_id, idempotency_key, payment_type, source_account_id, amount_minor, currency,
        capture_method, status, provider, hold_id, metadata, operation, operation_minor, due_at,
        max_retries, version, sequence, created_at, updated_at
    ) VALUES (
        payment_id, 'default', used_key, 'external_payment', account_id, 100, 'USD',
        'automatic', 'pending', 'stripe', hold, '{}', 'charge', 100, now() + interval '120 s',
        4, 1, 1, now(), now()
    );
    INSERT INTO ledger_transfers (
        id, tenant_id, state, debit_account_id, credit_account_id, amount_minor, currency,
        transaction_type, payment_id, recorded_at
    ) VALUES (
        hold, 'default', 'pending', account_id, '00000000-0000-0000-0000-000000000001', 100,
        'USD', 'payment', payment_id, now()
    );
    INSERT INTO payment_events (
        payment_id, version, id, tenant_id, sequence, type, data, occurred_at
    ) VALUES (
        payment_id, 1, event_id, 'default', 1, 'payment.created', sample.event::json, now()
    );
    INSERT INTO outbox (
        id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, causationid,
        occurred_at, recorded_at
    ) VALUES
    (
        event_id, 'payments.events', payment_id::text, 'payment.created', sample.event::json,
        'default', 1, NULL, now(), now()
    ),
    (
        uuidv7(), 'payments.charges', payment_id::text, 'charge.requested', sample.work::json,
        'default', NULL, event_id, now(), now()
    );
    RETURN payment_id;
END;
$$;
