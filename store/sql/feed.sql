-- The feed of events: a tenant's public events in the order of their positions, as far as it is
-- certain that nothing before them is still to come.

-- name: outbox_writers
-- Who may have drawn a position and not committed it: an INSERT locks the table before it draws,
-- and lets go when its transaction has ended and can be seen. With it, whose history this is: a
-- database that was restored, or lost its last transactions with its primary, draws positions anew.
SELECT
    array(
        SELECT locks.virtualtransaction
        FROM pg_locks AS locks
        WHERE
            locks.locktype = 'relation'
            AND locks.relation = 'outbox'::regclass
            AND locks.mode = 'RowExclusiveLock'
            AND locks.database = (
                SELECT own.oid
                FROM pg_database AS own
                WHERE own.datname = current_database()
            )
    ) AS writers,
    (SELECT control.system_identifier FROM pg_control_system() AS control)::text AS system,
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline;

-- name: events_behind
-- A tenant's next events behind a position; a null filter filters nothing. No more than :read_max
-- are looked at, so that a filter which hardly anything passes costs a known time; `read_to` is the
-- last one. What was dropped is said in the same breath as what is there.
WITH behind AS MATERIALIZED (
    SELECT
        outbox.position, outbox.id, outbox.type, outbox.aggregateid, outbox.sequence,
        outbox.payload, outbox.occurred_at
    FROM outbox
    WHERE
        outbox.tenant_id = :tenant_id
        AND outbox.aggregatetype = 'payments.events'
        AND outbox.position > :after
        AND outbox.position <= :settled
    ORDER BY outbox.position
    LIMIT :read_max
),

looked_at AS (
    SELECT
        max(behind.position) AS read_to,
        count(*) AS rows_read
    FROM behind
),

passed AS (
    SELECT behind.*
    FROM behind
    WHERE
        (:types::text[] IS NULL OR behind.type = any(:types))
        AND (:payment_id::uuid IS NULL OR behind.aggregateid = :payment_id::text)
        AND (
            :account_id::uuid IS NULL
            OR behind.payload #>> '{payment,source_account_id}' = :account_id::text
            OR behind.payload #>> '{payment,destination_account_id}' = :account_id::text
        )
    ORDER BY behind.position
    LIMIT :rows_max
)

SELECT
    (
        SELECT dropped.up_to
        FROM outbox_dropped AS dropped
        WHERE dropped.is_one
    ) AS dropped_to,
    looked_at.read_to,
    looked_at.rows_read,
    passed.*
FROM looked_at
LEFT JOIN passed ON TRUE
ORDER BY passed.position;

-- name: events_since
-- What has come to these tenants, for all who listen at once.
SELECT
    outbox.position, outbox.tenant_id, outbox.id, outbox.type, outbox.aggregateid,
    outbox.sequence, outbox.payload, outbox.occurred_at
FROM outbox
WHERE
    outbox.position > :after
    AND outbox.position <= :settled
    AND outbox.aggregatetype = 'payments.events'
    AND outbox.tenant_id = any(:tenant_ids::text[])
ORDER BY outbox.position
LIMIT :rows_max;
