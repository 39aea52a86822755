-- Sealing the ledger, and reading the journal: rows and seals, each in one order.

-- name: lock_sealing
-- One sealer at a time; whoever comes second has nothing to do.
SELECT pg_try_advisory_xact_lock($1);

-- name: settled_before
-- The moment before which every row that there will ever be can be seen by the next statement.
-- A row's id is made inside its transaction (store/write/commit.py decides after BEGIN), so a
-- transaction at work adds no row older than its own beginning; one that begins later,
-- none older than now(). This, and no constant, is how long the longest transaction is.
-- A reader with an old snapshot counts too, for it looks the same: sealing waits for it.
SELECT least(now(), min(xact_start)) AS settled_before
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND pid <> pg_backend_pid();

-- name: rows_to_seal
SELECT * FROM ledger_transfers
WHERE id > :after AND id < :before
ORDER BY id
LIMIT :rows_max;

-- name: last_seals
SELECT newest.*
FROM unnest($1::text[]) AS tenant (id)
INNER JOIN ledger_seals AS newest
    ON
        tenant.id = newest.tenant_id
        AND newest.number = (
            SELECT max(numbered.number) FROM ledger_seals AS numbered
            WHERE numbered.tenant_id = tenant.id
        );

-- name: insert_seals
INSERT INTO ledger_seals (
    tenant_id, number, first_ledger_id, last_ledger_id, row_count, sealed_at, previous_digest,
    fingerprints, digest
)
SELECT
    unnest(:tenant_id::text[]), unnest(:number::bigint[]), unnest(:first_ledger_id::uuid[]),
    unnest(:last_ledger_id::uuid[]), unnest(:row_count::integer[]),
    unnest(:sealed_at::timestamptz[]), unnest(:previous_digest::bytea[]),
    unnest(:fingerprints::bytea[]), unnest(:digest::bytea[]);

-- name: journal_rows
SELECT * FROM ledger_transfers
WHERE $1::text IS NULL OR tenant_id = $1
ORDER BY id;

-- name: journal_seals
SELECT * FROM ledger_seals
WHERE $1::text IS NULL OR tenant_id = $1
ORDER BY last_ledger_id;

-- name: sealed_up_to
-- A sealing takes the next rows of all tenants, so the newest seal is how far all are sealed.
SELECT last_ledger_id FROM ledger_seals
ORDER BY last_ledger_id DESC
LIMIT 1;
