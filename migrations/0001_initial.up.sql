-- The whole schema of a payment: accounts and their ledger, payments and what
-- happened to them, the outbox that tells the world, and what is owed attention.
-- Every table but api_keys carries the tenant its rows belong to.

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status text NOT NULL CHECK (status IN ('active', 'frozen', 'closed')),
    debits_posted bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_posted bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    debits_pending bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    credits_pending bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    version integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The last line of defence: no bug above it can spend what is not there.
    CONSTRAINT accounts_never_overdrawn
    CHECK (credits_posted - debits_posted - debits_pending >= 0)
) WITH (fillfactor = 75); -- room for HOT updates: balances change far more often than rows appear

CREATE INDEX accounts_by_tenant ON accounts (tenant_id, id);

-- System accounts (world, clearing:stripe, ...) are append-only: their balance is
-- the fold of the ledger, so that no hot path ever updates a row all payments share.
CREATE TABLE system_accounts (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    code text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    UNIQUE (tenant_id, code, currency)
);

CREATE TABLE payments (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    idempotency_key text,
    payment_type text NOT NULL
    CHECK (payment_type IN ('external_payment', 'internal_transfer')),
    source_account_id uuid NOT NULL,
    destination_account_id uuid,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    capture_method text NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
    status text NOT NULL CHECK (status IN (
        'pending', 'processing', 'authorized', 'completed', 'failed', 'cancelled',
        'unknown', 'review', 'partially_refunded', 'refunded'
    )),
    provider text,
    provider_reference text,
    hold_id uuid,
    captured_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    refund_pending_minor bigint NOT NULL DEFAULT 0,
    description text,
    metadata json NOT NULL,
    -- What a provider is owed next (charge, authorize, capture, void), by when
    -- somebody must look again, and which attempt is in flight.
    operation text CHECK (operation IN ('charge', 'authorize', 'capture', 'void')),
    operation_minor bigint,
    due_at timestamptz,
    lease_id uuid,
    attempt_count integer NOT NULL DEFAULT 0,
    inquiry_count integer NOT NULL DEFAULT 0,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL,
    last_error_code text,
    last_error text,
    version integer NOT NULL CHECK (version > 0),
    sequence integer NOT NULL CHECK (sequence > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz,
    CONSTRAINT payments_refunded_within_captured
    CHECK (
        refunded_minor >= 0 AND refund_pending_minor >= 0
        AND refunded_minor + refund_pending_minor <= captured_minor
        AND captured_minor <= amount_minor
    ),
    -- Never in silence: whoever owes a provider call has a time to be looked at.
    CONSTRAINT payments_owed_is_due CHECK ((operation IS NULL) = (due_at IS NULL)),
    CONSTRAINT payments_lease_is_owed CHECK (lease_id IS NULL OR operation IS NOT NULL)
) WITH (fillfactor = 75);

CREATE INDEX payments_by_tenant ON payments (tenant_id, id DESC);
CREATE INDEX payments_by_account ON payments (source_account_id, id DESC);
CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE refunds (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    payment_id uuid NOT NULL REFERENCES payments (id),
    idempotency_key text,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'pending', 'processing', 'completed', 'failed', 'unknown', 'review'
    )),
    reason text,
    provider text,
    provider_reference text,
    due_at timestamptz,
    lease_id uuid,
    attempt_count integer NOT NULL DEFAULT 0,
    inquiry_count integer NOT NULL DEFAULT 0,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL,
    last_error_code text,
    last_error text,
    version integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz
);

CREATE INDEX refunds_by_payment ON refunds (payment_id, id);
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

-- Append-only. `pending` reserves, `posted` moves, `voided` releases; the latter
-- two name the pending row they resolve, and releases_minor is what they give back.
CREATE TABLE ledger_transfers (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'posted', 'voided')),
    pending_id uuid,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL CHECK (credit_account_id <> debit_account_id),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    releases_minor bigint NOT NULL DEFAULT 0 CHECK (releases_minor >= 0),
    currency text NOT NULL,
    transaction_type text NOT NULL,
    description text,
    payment_id uuid,
    refund_id uuid,
    debit_balance_after bigint, -- null for a system account
    credit_balance_after bigint,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT ledger_resolution_names_its_hold
    CHECK ((pending_id IS NOT NULL) = (releases_minor > 0)),
    CONSTRAINT ledger_pending_is_first CHECK (state <> 'pending' OR pending_id IS NULL),
    CONSTRAINT ledger_void_names_its_hold CHECK (state <> 'voided' OR pending_id IS NOT NULL)
);

-- A hold is resolved once, whoever tries again.
CREATE UNIQUE INDEX ledger_hold_resolved_once ON ledger_transfers (pending_id)
WHERE pending_id IS NOT NULL;
CREATE INDEX ledger_debits ON ledger_transfers (debit_account_id, id DESC);
CREATE INDEX ledger_credits ON ledger_transfers (credit_account_id, id DESC);

-- One row a version of a payment; `sequence` counts the public ones without a gap.
CREATE TABLE payment_events (
    payment_id uuid NOT NULL,
    version integer NOT NULL,
    id uuid NOT NULL,
    tenant_id text NOT NULL,
    sequence integer,
    type text NOT NULL,
    data json NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (payment_id, version)
);

-- Debezium's outbox-router columns, and one column a header.
CREATE TABLE outbox (
    id uuid NOT NULL,
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload json NOT NULL, -- json, not jsonb: it keeps the very bytes written
    tenant_id text NOT NULL,
    sequence integer,
    causationid uuid,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (recorded_at, id)
) PARTITION BY RANGE (recorded_at);

-- Catches what no daily partition takes, so that a late partition loses nothing.
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

CREATE PUBLICATION payments_outbox FOR TABLE outbox
WITH (publish = 'insert', publish_via_partition_root = true);

-- Each try at a provider, saved before the call is made.
CREATE TABLE attempts (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    payment_id uuid NOT NULL,
    refund_id uuid,
    number integer NOT NULL CHECK (number > 0),
    operation text NOT NULL CHECK (operation IN (
        'charge', 'authorize', 'capture', 'void', 'refund'
    )),
    inquiry boolean NOT NULL, -- asks what became of an earlier attempt first
    provider text NOT NULL,
    provider_key text NOT NULL, -- the provider's idempotency key: one an operation, for ever
    worker text NOT NULL,
    lease_expires_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text,
    provider_reference text,
    error_code text,
    error text
);

CREATE UNIQUE INDEX attempts_once_a_number ON attempts (
    payment_id, coalesce(refund_id, payment_id), number
);

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY, -- derived from stage and message: a redelivery is no second letter
    tenant_id text NOT NULL,
    stage text NOT NULL,
    reason text NOT NULL,
    error text NOT NULL,
    payment_id uuid,
    refund_id uuid,
    topic text NOT NULL,
    message_partition integer NOT NULL,
    message_offset bigint NOT NULL,
    message_key bytea,
    message_value bytea,
    message_headers json NOT NULL,
    attempts integer NOT NULL,
    state text NOT NULL CHECK (state IN ('parked', 'redriven', 'discarded')),
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    version integer NOT NULL CHECK (version > 0),
    CONSTRAINT dead_letters_resolution_is_signed
    CHECK ((state = 'parked') = (resolved_at IS NULL AND resolved_by IS NULL))
);

CREATE INDEX dead_letters_by_state ON dead_letters (state, id DESC);
CREATE INDEX dead_letters_by_payment ON dead_letters (payment_id) WHERE payment_id IS NOT NULL;

-- The answer to each request that carried a key, stored with its effect.
CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    headers json NOT NULL,
    body bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (recorded_at);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    tenant_id text NOT NULL,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Makes the partition of one day; harmless when it exists.
CREATE FUNCTION outbox_create_partition(day date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS outbox_p%s PARTITION OF outbox '
        'FOR VALUES FROM (%L) TO (%L)',
        to_char(day, 'YYYYMMDD'),
        day::timestamp AT TIME ZONE 'UTC',
        (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
END;
$$;

-- Drops the partition of one day; what is in it has been kept long enough.
CREATE FUNCTION outbox_drop_partition(day date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS outbox_p%s', to_char(day, 'YYYYMMDD'));
END;
$$;

SELECT outbox_create_partition((now() AT TIME ZONE 'UTC')::date + ahead)
FROM generate_series(0, 3) AS ahead;
