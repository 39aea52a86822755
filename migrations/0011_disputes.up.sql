-- What providers do without us: disputes, and refunds that somebody made there.

CREATE TABLE disputes (
    id uuid PRIMARY KEY, -- derived from provider and reference: found twice, it is one
    tenant_id text NOT NULL,
    payment_id uuid NOT NULL REFERENCES payments (id),
    provider text NOT NULL,
    reference text NOT NULL, -- the provider's name for it
    kind text NOT NULL CHECK (kind IN ('dispute', 'reversal')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state text NOT NULL CHECK (state IN ('open', 'won', 'lost')),
    withdrawn_minor bigint NOT NULL CHECK (withdrawn_minor >= 0),
    reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    version integer NOT NULL CHECK (version > 0)
);

CREATE INDEX disputes_by_payment ON disputes (payment_id);
CREATE INDEX disputes_by_tenant ON disputes (tenant_id, created_at DESC, id DESC);

ALTER TABLE payments
ADD COLUMN disputed_minor bigint NOT NULL DEFAULT 0 CHECK (disputed_minor >= 0);
ALTER TABLE refunds
ADD COLUMN origin text NOT NULL DEFAULT 'client' CHECK (origin IN ('client', 'provider'));

-- 'lapsed' was what a payment became whose authorization its provider let go.
ALTER TABLE provider_events DROP CONSTRAINT provider_events_effect_check,
ADD CONSTRAINT provider_events_effect_check CHECK (effect IN (
    'asked', 'nothing', 'confirmed', 'lapsed', 'recorded', 'contradiction', 'unresolved'
));
