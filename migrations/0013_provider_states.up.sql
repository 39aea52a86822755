-- How each worker finds each provider now (payments/provider_state.py): written again and again,
-- read by whoever asks why a payment waits. Unlogged: after a crash of the server its workers say
-- it anew within seconds, and until then it would be of no use.
CREATE UNLOGGED TABLE provider_states (
    provider text NOT NULL,
    stage text NOT NULL,
    worker text NOT NULL,
    state text NOT NULL CHECK (
        state IN ('well', 'limited', 'circuit_open', 'unreachable', 'refusing_credentials')
    ),
    reason text NOT NULL,
    since timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (provider, stage, worker)
);
