-- What operators did by hand, signed: written with its effect, never changed, never removed.

CREATE TABLE operator_actions (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL, -- whose payment or letter it was, whoever the operator is
    actor text NOT NULL,
    reason text NOT NULL,
    action text NOT NULL CHECK (action IN ('resolve', 'redrive', 'discard')),
    payment_id uuid,
    refund_id uuid,
    detail json NOT NULL, -- what was found, what was closed
    recorded_at timestamptz NOT NULL
);

CREATE INDEX operator_actions_by_payment ON operator_actions (payment_id, id)
WHERE payment_id IS NOT NULL;
CREATE INDEX operator_actions_by_tenant ON operator_actions (tenant_id, recorded_at);
