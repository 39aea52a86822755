-- Notifications of providers (webhooks) that were taken, each once, however often it is sent.

CREATE TABLE provider_events (
    provider text NOT NULL,
    event_id text NOT NULL, -- the provider's own
    tenant_id text NOT NULL,
    type text NOT NULL,
    payment_id uuid NOT NULL,
    refund_id uuid,
    effect text NOT NULL CHECK (effect IN (
        'asked', 'nothing', 'confirmed', 'contradiction', 'unresolved'
    )),
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);

CREATE INDEX provider_events_by_age ON provider_events USING brin (received_at);
