-- What a relay asks of its slot, and of the outbox behind it.

-- name: slot_state
SELECT wal_status, confirmed_flush_lsn::text
FROM pg_replication_slots
WHERE slot_name = $1;

-- name: create_slot
SELECT FROM pg_create_logical_replication_slot($1, 'pgoutput');

-- name: drop_slot
SELECT pg_drop_replication_slot($1);

-- name: emit_heartbeat
-- A few bytes of WAL, so that an idle slot moves on and releases the old WAL.
SELECT pg_logical_emit_message(false, 'payments-heartbeat', '');

-- name: wal_position
SELECT
    pg_current_wal_flush_lsn()::text,
    floor(extract(EPOCH FROM clock_timestamp()) * 1000)::bigint;

-- name: outbox_snapshot
-- The snapshot is taken before the position is read: what the snapshot sees was committed before.
SELECT
    pg_current_snapshot()::text,
    pg_current_wal_insert_lsn()::text,
    (SELECT floor(extract(EPOCH FROM min(recorded_at)) * 1000)::bigint FROM outbox);

-- name: outbox_rows
-- In the order of the ids, which is the order of the commits of each key. The first condition
-- lets the planner leave out partitions; the second is each topic's own.
SELECT
    outbox.id::text, outbox.aggregatetype, outbox.aggregateid, outbox.type,
    outbox.payload::text, outbox.tenant_id, outbox.sequence::text, outbox.causationid::text,
    outbox.traceparent, outbox.occurred_at::text, outbox.recorded_at::text
FROM outbox
INNER JOIN unnest($1::text[], $2::timestamptz[]) AS wanted (topic, since)
    ON outbox.aggregatetype = wanted.topic AND outbox.recorded_at >= wanted.since
WHERE outbox.recorded_at >= $3::timestamptz AND outbox.id < $4::uuid
ORDER BY outbox.id;
