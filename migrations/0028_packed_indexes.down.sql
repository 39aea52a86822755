-- Online: as it was. Each statement may be run again, and nothing takes a lock that a reader or a
-- writer would wait for until the end, so it may wait.
SET lock_timeout = 0;

-- Run each: what a run that was cut off left unfinished.
SELECT format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass)
FROM pg_index
WHERE
    indexrelid IN (
        to_regclass('payments_by_tenant_descending'), to_regclass('attempts_first_pkey')
    )
    AND NOT indisvalid;

-- Run each: once.
SELECT
    'CREATE INDEX CONCURRENTLY payments_by_tenant_descending ON payments (tenant_id, id DESC)'
FROM pg_index
WHERE
    indexrelid = to_regclass('payments_by_tenant')
    AND pg_get_indexdef(indexrelid) NOT LIKE '%DESC%'
    AND to_regclass('payments_by_tenant_descending') IS NULL;

-- Run each: the old one gives its name away.
SELECT unnest(ARRAY[
    'DROP INDEX CONCURRENTLY IF EXISTS payments_by_tenant',
    'ALTER INDEX payments_by_tenant_descending RENAME TO payments_by_tenant'
])
FROM pg_index
WHERE indexrelid = to_regclass('payments_by_tenant_descending') AND indisvalid;

-- Run each: of the first partition, unless it was archived.
SELECT 'CREATE UNIQUE INDEX CONCURRENTLY attempts_first_pkey ON attempts_first (id)'
WHERE
    to_regclass('attempts_first') IS NOT NULL
    AND to_regclass('attempts_first_pkey') IS NULL;

SET lock_timeout = '100ms';

-- Run each: once.
SELECT
    'ALTER TABLE attempts_first ADD CONSTRAINT attempts_first_pkey '
    'PRIMARY KEY USING INDEX attempts_first_pkey'
FROM pg_index
WHERE indexrelid = to_regclass('attempts_first_pkey') AND NOT indisprimary;
