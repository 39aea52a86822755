-- The database itself: which one it is beyond its name, whether it takes a write, and its clock.

-- name: database_identity
-- A server's run, a database of it and a table's file: no backup that was restored has all
-- three, nor has a standby that was promoted.
SELECT
    concat_ws(
        '/', extract(EPOCH FROM pg_postmaster_start_time()), oid,
        'idempotency_keys'::regclass::oid, pg_relation_filenode('idempotency_keys')
    )
FROM pg_database
WHERE datname = current_database();

-- name: write_probe
-- The cheapest write that is one: it needs no table and no lock, is in the WAL, and is committed.
-- NULL where nothing may be written, which no message in the WAL is refused for.
SELECT
    CASE
        WHEN current_setting('transaction_read_only') = 'off'
            THEN pg_logical_emit_message(TRUE, 'payments', 'ready?')
    END;

-- name: database_time
SELECT clock_timestamp();
