-- What makes a changed past show: seals over the ledger's rows, each over those
-- before it too. payments/journal.py says what a digest is made of.

CREATE TABLE ledger_seals (
    tenant_id text NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    first_ledger_id uuid NOT NULL,
    last_ledger_id uuid NOT NULL,
    row_count integer NOT NULL CHECK (row_count > 0),
    sealed_at timestamptz NOT NULL,
    previous_digest bytea NOT NULL CHECK (octet_length(previous_digest) = 32),
    fingerprints bytea NOT NULL, -- eight bytes a row, to say which of them changed
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (tenant_id, number)
);

-- Rows and seals are read in one order; and the newest seal says how far all are sealed.
CREATE UNIQUE INDEX ledger_seals_by_last_row ON ledger_seals (last_ledger_id);

-- Against mistakes, not against forgers: those are what the digests are for.
CREATE FUNCTION ledger_seals_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger_seals is append-only: % is refused', TG_OP;
END;
$$;

CREATE TRIGGER ledger_seals_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals
FOR EACH STATEMENT EXECUTE FUNCTION ledger_seals_refuse_change();
