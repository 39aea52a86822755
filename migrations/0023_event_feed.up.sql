-- Online: the feed of events reads a tenant's part of the outbox in the order of its positions, and
-- has to know what is gone from it. Each statement may be run again.

-- One row: every message up to this position may have been dropped.
CREATE TABLE IF NOT EXISTS outbox_dropped (
    is_one boolean PRIMARY KEY DEFAULT TRUE CHECK (is_one),
    up_to bigint NOT NULL
);

INSERT INTO outbox_dropped (up_to)
SELECT coalesce(
    (SELECT min(outbox.position) - 1 FROM outbox),
    (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_position)
)
ON CONFLICT DO NOTHING;

-- What a dropped partition had is noted with it: once nobody can write to it any more.
CREATE OR REPLACE FUNCTION partition_drop(parent regclass, dropped text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last_position bigint;
BEGIN
    IF to_regclass(dropped) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', parent, dropped);
        IF parent = 'outbox'::regclass THEN
            EXECUTE format('SELECT max(position) FROM %I', dropped) INTO last_position;
            UPDATE outbox_dropped SET up_to = greatest(up_to, last_position);
        END IF;
        EXECUTE format('DROP TABLE %I', dropped);
    END IF;
END;
$$;

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

CREATE INDEX IF NOT EXISTS outbox_events_by_tenant ON ONLY outbox (tenant_id, position)
WHERE aggregatetype = 'payments.events';

-- Run each: what a run that was cut off left unfinished.
SELECT format('DROP INDEX CONCURRENTLY %I', child_index.relname)
FROM pg_inherits
INNER JOIN pg_index ON pg_inherits.inhrelid = pg_index.indrelid AND NOT pg_index.indisvalid
INNER JOIN pg_class AS child_index ON pg_index.indexrelid = child_index.oid
WHERE
    pg_inherits.inhparent = 'outbox'::regclass
    AND child_index.relname LIKE '%\_events\_by\_tenant';

-- Run each: the partitions that are there; those to come get theirs from the table.
SELECT
    format(
        'CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON %I (tenant_id, position) '
        'WHERE aggregatetype = ''payments.events''',
        child.relname || '_events_by_tenant', child.relname
    )
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE pg_inherits.inhparent = 'outbox'::regclass
AND NOT EXISTS (
    SELECT FROM pg_index
    INNER JOIN pg_inherits AS of_index ON pg_index.indexrelid = of_index.inhrelid
    WHERE
        pg_index.indrelid = child.oid
        AND of_index.inhparent = 'outbox_events_by_tenant'::regclass
);

SET lock_timeout = '2s';

-- Run each: and the table's index is whole.
SELECT
    format(
        'ALTER INDEX outbox_events_by_tenant ATTACH PARTITION %I',
        child.relname || '_events_by_tenant'
    )
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE
    pg_inherits.inhparent = 'outbox'::regclass
    AND to_regclass(format('%I', child.relname || '_events_by_tenant')) IS NOT NULL;
