-- Online: two indexes take up less. Each statement may be run again.

-- Nobody looks for an attempt by its id any more, and no later partition has an index of it. This
-- one may have been archived, and be gone. Nobody waits for longer behind what waits itself.
SET lock_timeout = '100ms';
ALTER TABLE IF EXISTS attempts_first DROP CONSTRAINT IF EXISTS attempts_first_pkey;

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

-- Run each: what a run that was cut off left unfinished.
SELECT 'DROP INDEX CONCURRENTLY payments_by_tenant_ascending'
FROM pg_index
WHERE indexrelid = to_regclass('payments_by_tenant_ascending') AND NOT indisvalid;

-- Run each: once. What comes in goes in at the end of an ascending index, whose pages are then left
-- full; of a descending one each is left half empty. It is read from its end.
SELECT 'CREATE INDEX CONCURRENTLY payments_by_tenant_ascending ON payments (tenant_id, id)'
FROM pg_index
WHERE
    indexrelid = to_regclass('payments_by_tenant') AND pg_get_indexdef(indexrelid) LIKE '%DESC%'
    AND to_regclass('payments_by_tenant_ascending') IS NULL;

-- Run each: the old one gives its name away.
SELECT unnest(ARRAY[
    'DROP INDEX CONCURRENTLY IF EXISTS payments_by_tenant',
    'ALTER INDEX payments_by_tenant_ascending RENAME TO payments_by_tenant'
])
FROM pg_index
WHERE indexrelid = to_regclass('payments_by_tenant_ascending') AND indisvalid;
