-- Webhooks to tenants: where they go, each event that somebody wants, a delivery for each endpoint
-- that wants it, and each try. No secret is here: it is derived (topics/contracts/webhooks.py).

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL, -- none: all
    api_version text NOT NULL,
    description text NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled', 'deleted')),
    disabled_reason text,
    key_id text NOT NULL, -- of the key that the secret is derived with
    secret_number integer NOT NULL CHECK (secret_number > 0),
    previous_key_id text,
    previous_secret_until timestamptz,
    changed_by text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT webhook_endpoints_disabled_is_said
    CHECK (state <> 'disabled' OR disabled_reason IS NOT NULL)
);

CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id, id DESC);

-- An endpoint that takes nothing now: apart, so that what a worker finds is no change of what its
-- owner has set. Who takes everything has no row.
CREATE TABLE webhook_endpoint_failures (
    endpoint_id uuid PRIMARY KEY REFERENCES webhook_endpoints (id),
    failing_since timestamptz NOT NULL,
    failure_count integer NOT NULL CHECK (failure_count > 0),
    retry_at timestamptz NOT NULL
);

CREATE TABLE webhook_events (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    type text NOT NULL,
    payment_id uuid, -- null: an endpoint's test
    sequence integer,
    data json NOT NULL, -- the very bytes of the topic
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE INDEX webhook_events_recorded ON webhook_events (recorded_at);

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints (id),
    event_id uuid NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
    event_type text NOT NULL,
    payment_id uuid,
    sequence integer,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    due_at timestamptz, -- the next try, or the end of a worker's lease
    lease_id uuid,
    attempt_count integer NOT NULL DEFAULT 0,
    retry_count integer NOT NULL DEFAULT 0, -- since it was last asked for
    last_status integer,
    last_error text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    delivered_at timestamptz,
    -- An event is sent to an endpoint once, however often its message comes.
    CONSTRAINT webhook_deliveries_once UNIQUE (endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_pending_is_due CHECK ((state = 'pending') = (due_at IS NOT NULL))
) WITH (fillfactor = 75);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at)
WHERE due_at IS NOT NULL;
-- What of the same payment is to be sent before.
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, payment_id, sequence)
WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_endpoint
ON webhook_deliveries (endpoint_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_failed
ON webhook_deliveries (endpoint_id, created_at DESC, id DESC)
WHERE state = 'failed';
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);

CREATE TABLE webhook_attempts (
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    started_at timestamptz NOT NULL,
    duration_ms integer, -- null: under way, or its worker died
    status integer, -- null: no answer
    error text,
    answer bytea, -- its first kilobyte
    PRIMARY KEY (delivery_id, number)
);

-- Asked for, and done by the stage a part at a time.
CREATE TABLE webhook_replays (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints (id),
    delivery_id uuid,
    failed_only boolean NOT NULL,
    created_from timestamptz,
    created_before timestamptz,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    passed_at timestamptz, -- up to where it is done
    passed_id uuid,
    replayed_count integer NOT NULL DEFAULT 0,
    done_at timestamptz
);

CREATE INDEX webhook_replays_open ON webhook_replays (requested_at) WHERE done_at IS NULL;
