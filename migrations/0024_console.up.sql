-- The console: who is signed in, and what operators asked for by hand, whatever became of it.

-- A browser's session, by what its cookie hashes to: no cookie can be made from this table. Once
-- the key is revoked, or the session ended or expired, it opens nothing any more.
CREATE TABLE console_sessions (
    id_sha256 bytea PRIMARY KEY,
    key_id text NOT NULL REFERENCES api_keys (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);

CREATE INDEX console_sessions_expired ON console_sessions (expires_at);

-- Written in the transaction of what was asked for, refusals included; never changed nor removed.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL CHECK (via IN ('api', 'console')),
    action text NOT NULL, -- the operation of the API
    target text NOT NULL, -- its address
    reason text,
    asked json NOT NULL, -- its body
    outcome text NOT NULL, -- `done`, or the code of the refusal
    request_id text NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id DESC);

-- Against mistakes: who owns the tables can do anything.
CREATE FUNCTION audit_log_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % is refused', TG_OP;
END;
$$;

CREATE TRIGGER audit_log_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse_change();
