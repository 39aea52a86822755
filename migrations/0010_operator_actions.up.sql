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

-- Against mistakes: who owns the tables can do anything.
CREATE FUNCTION operator_actions_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'operator_actions is append-only: % is refused', TG_OP;
END;
$$;

CREATE TRIGGER operator_actions_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
FOR EACH STATEMENT EXECUTE FUNCTION operator_actions_refuse_change();
