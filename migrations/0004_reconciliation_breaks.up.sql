-- Where a provider's settlement report and our books differ, until they no longer do.

CREATE TABLE reconciliation_breaks (
    id uuid PRIMARY KEY, -- derived from what differs: every run that finds it finds this row
    tenant_id text NOT NULL,
    provider text NOT NULL,
    type text NOT NULL CHECK (type IN (
        'missing_here', 'missing_there', 'amount_differs', 'currency_differs', 'status_differs',
        'duplicate_charge', 'duplicate_refund'
    )),
    kind text NOT NULL CHECK (kind IN ('charge', 'refund')),
    payment_id uuid,
    refund_id uuid,
    reference text,
    here_minor bigint, -- null where our books have nothing
    here_currency text,
    there_minor bigint, -- null where the report has nothing
    there_currency text,
    status_here text,
    status_there text,
    began_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL, -- the age counts from here
    first_found_at timestamptz NOT NULL,
    last_found_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'resolved')),
    resolved_at timestamptz,
    resolved_by text, -- null when a later report no longer shows it
    resolution text,
    CONSTRAINT reconciliation_breaks_resolution_is_told
    CHECK ((state = 'open') = (resolved_at IS NULL AND resolution IS NULL))
);

CREATE INDEX reconciliation_breaks_by_age ON reconciliation_breaks (occurred_at DESC, id DESC);
CREATE INDEX reconciliation_breaks_open ON reconciliation_breaks (provider, occurred_at)
WHERE state = 'open';
