-- Which database this is, beyond its name.

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
