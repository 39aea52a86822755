-- What a relay asks of its slot and of the outbox behind it, and what it keeps of its sink.

-- name: slot_state
SELECT wal_status, confirmed_flush_lsn::text
FROM pg_replication_slots
WHERE slot_name = $1;

-- name: create_slot
SELECT FROM pg_create_logical_replication_slot($1, 'pgoutput');

-- name: create_failover_slot
-- A server that has standbys carries it to them (from 17 on).
SELECT FROM pg_create_logical_replication_slot($1, 'pgoutput', FALSE, FALSE, TRUE);

-- name: drop_slot
SELECT pg_drop_replication_slot($1);

-- name: emit_heartbeat
-- A few bytes of WAL, so that an idle slot moves on and releases the old WAL.
SELECT pg_logical_emit_message(false, 'payments-heartbeat', '');

-- name: wal_end
-- Whatever can be seen by now was committed before it, flushed or not.
SELECT pg_current_wal_insert_lsn()::text;

-- name: know_sink
INSERT INTO relay_sinks (sink) VALUES ($1)
ON CONFLICT DO NOTHING;

-- name: other_slot_at_work
-- Two relays of one sink would each publish all.
SELECT relay_sinks.slot
FROM relay_sinks
INNER JOIN pg_replication_slots ON relay_sinks.slot = pg_replication_slots.slot_name
WHERE relay_sinks.sink = $1 AND relay_sinks.slot <> $2 AND pg_replication_slots.active;

-- name: lock_table_reading
SELECT pg_try_advisory_lock(hashtext('payments relay'), hashtext($1));

-- name: cut_off_sleeper
-- It asks several times a second, unless it sleeps, with its machine or alone.
SELECT pg_terminate_backend(activity.pid)
FROM pg_locks AS locks
INNER JOIN pg_stat_activity AS activity ON locks.pid = activity.pid
WHERE
    locks.locktype = 'advisory' AND locks.granted
    AND activity.datname = current_database()
    AND locks.classid = (hashtext('payments relay')::bigint & 4294967295)::oid
    AND locks.objid = (hashtext($1)::bigint & 4294967295)::oid
    AND activity.state_change < clock_timestamp() - interval '30 seconds';

-- name: note_gap
UPDATE relay_sinks SET has_gap = TRUE
WHERE sink = $1;

-- name: close_gap
UPDATE relay_sinks SET has_gap = FALSE
WHERE sink = $1 AND epoch = $2::text::bigint;

-- name: lock_sink
SELECT writer::text, was_drained, has_gap, is_paused
FROM relay_sinks
WHERE sink = $1
FOR UPDATE;

-- name: take_over_sink
UPDATE relay_sinks SET
    epoch = epoch + 1,
    slot = $2,
    seen_at = now()
WHERE sink = $1
RETURNING epoch;

-- name: note_seen
UPDATE relay_sinks SET seen_at = now()
WHERE sink = $1 AND epoch = $2::text::bigint;

-- name: note_writing
UPDATE relay_sinks SET was_drained = FALSE
WHERE sink = $1 AND epoch = $2::text::bigint
RETURNING epoch;

-- name: note_drained
UPDATE relay_sinks SET was_drained = TRUE
WHERE sink = $1 AND epoch = $2::text::bigint;

-- name: drawn_position
-- Every position that was drawn so far is at most this.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_position;

-- name: transactions_now
-- Asked after the position above: whoever drew one up to there has a number below the one that we
-- draw. (A snapshot's xmax does not say so: it is behind the last that has ended, and whoever is
-- the newest at work has one from there on.) The snapshot is older than the place of the WAL,
-- behind which nothing that it sees was committed.
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text,
    pg_current_xact_id()::text,
    pg_current_wal_insert_lsn()::text;

-- name: keep_checkpoint
-- Unless another relay has taken over: the lock makes it wait for us, or us for it.
WITH us AS (
    SELECT sink FROM relay_sinks
    WHERE sink = $1 AND epoch = $2::text::bigint
    FOR SHARE
)

INSERT INTO relay_checkpoints (
    sink, kept_for, floor_position, lsn, timeline, system_identifier, marks, taken_at
)
SELECT
    us.sink, date_trunc('minute', now()), $3::text::bigint, $4::text::pg_lsn,
    $5::text::integer, $6, $7::text::jsonb, now()
FROM us
ON CONFLICT (sink, kept_for) DO UPDATE SET
    floor_position = excluded.floor_position,
    lsn = excluded.lsn,
    timeline = excluded.timeline,
    system_identifier = excluded.system_identifier,
    marks = excluded.marks,
    taken_at = excluded.taken_at
RETURNING kept_for;

-- name: checkpoints
SELECT kept_for::text, floor_position::text, lsn::text, system_identifier, marks::text
FROM relay_checkpoints
WHERE sink = $1
ORDER BY kept_for DESC;

-- name: strike_marks
-- What a sink has lost, it no longer has.
UPDATE relay_checkpoints SET
    marks = marks #- ARRAY[$2, $3]
WHERE sink = $1 AND kept_for = any($4::text[]::timestamptz[]);

-- name: thin_checkpoints
-- Of an hour that is over the last one is kept, and for as long as the outbox keeps a row.
DELETE FROM relay_checkpoints AS old
WHERE
    old.sink = $1
    AND old.kept_for < now() - interval '1 hour'
    AND EXISTS (
        SELECT FROM relay_checkpoints AS newer
        WHERE
            newer.sink = old.sink
            AND newer.kept_for > old.kept_for
            AND (
                date_trunc('hour', newer.kept_for) = date_trunc('hour', old.kept_for)
                OR newer.kept_for < (SELECT min(outbox.recorded_at) FROM outbox)
            )
    );

-- name: oldest_writer
SELECT
    pid::text,
    coalesce(nullif(application_name, ''), backend_type),
    date_trunc('second', now() - xact_start)::text
FROM pg_stat_activity
WHERE backend_xid IS NOT NULL
ORDER BY age(backend_xid) DESC
LIMIT 1;

-- name: newest_position
-- Behind which a topic's newest so many rows lie.
SELECT outbox.position::text
FROM outbox
WHERE outbox.aggregatetype = $1 AND outbox.position IS NOT NULL
ORDER BY outbox.position DESC
LIMIT 1 OFFSET $2::text::bigint;

-- name: outbox_page
-- The rows of these topics behind a position, in the order of the positions, which is the order
-- of the commits of each key. Rows from before there were positions come first, by their ids.
SELECT
    outbox.id::text, outbox.aggregatetype, outbox.aggregateid, outbox.type,
    outbox.payload::text, outbox.tenant_id, outbox.sequence::text, outbox.causationid::text,
    outbox.traceparent, outbox.occurred_at::text, outbox.recorded_at::text,
    outbox.position::text, outbox.tracestate
FROM outbox
WHERE
    outbox.position > $2::text::bigint
    AND outbox.position <= $3::text::bigint
    AND outbox.aggregatetype = any($1::text[])
ORDER BY outbox.position
LIMIT $4::text::bigint;

-- name: outbox_without_positions
-- Of the release before: a page behind an id.
SELECT
    outbox.id::text, outbox.aggregatetype, outbox.aggregateid, outbox.type,
    outbox.payload::text, outbox.tenant_id, outbox.sequence::text, outbox.causationid::text,
    outbox.traceparent, outbox.occurred_at::text, outbox.recorded_at::text,
    outbox.position::text, outbox.tracestate
FROM outbox
WHERE
    outbox.position IS NULL
    AND outbox.id > $2::text::uuid
    AND outbox.aggregatetype = any($1::text[])
ORDER BY outbox.id
LIMIT $3::text::bigint;

-- name: keys_set_aside
-- With whether the first of each was refused: if not, what it waited behind is gone.
SELECT DISTINCT ON (topic, key)
    topic,
    key,
    reason IS NOT NULL
FROM relay_set_aside
WHERE sink = $1
ORDER BY topic, key, position, id;

-- name: set_aside
-- One that was released and refused again has another reason now; the WAL may repeat it with none.
INSERT INTO relay_set_aside (sink, position, id, topic, key, message, reason)
SELECT
    $1, unnest($2::text[]::bigint[]), unnest($3::text[]::uuid[]), unnest($4::text[]),
    unnest($5::text[]), unnest($6::text[]::json[]), unnest($7::text[])
ON CONFLICT (sink, position, id) DO UPDATE SET
    reason = coalesce(excluded.reason, relay_set_aside.reason);

-- name: set_aside_of_key
SELECT message::text
FROM relay_set_aside
WHERE sink = $1 AND topic = $2 AND key = $3
ORDER BY position, id
LIMIT $4::text::bigint;

-- name: forget_set_aside
DELETE FROM relay_set_aside
WHERE sink = $1 AND id = any($2::text[]::uuid[]);

-- name: set_aside_message
-- The message, if it is the first of its key: what came after it waits for it.
SELECT first.message::text
FROM relay_set_aside AS first
WHERE
    first.sink = $1
    AND first.id = $2::text::uuid
    AND NOT EXISTS (
        SELECT FROM relay_set_aside AS earlier
        WHERE
            earlier.sink = first.sink
            AND earlier.topic = first.topic
            AND earlier.key = first.key
            AND (earlier.position, earlier.id) < (first.position, first.id)
    );

-- name: count_set_aside
SELECT count(*)::text, coalesce(extract(EPOCH FROM now() - min(set_aside_at)), 0)::text
FROM relay_set_aside
WHERE sink = $1;

-- name: commands_waiting
SELECT
    id::text, command, topic, key, first_at::text, end_at::text, message_id::text
FROM relay_commands
WHERE sink = $1 AND done_at IS NULL
ORDER BY id;

-- name: command_done
UPDATE relay_commands SET
    done_at = now(),
    outcome = $2
WHERE id = $1::text::bigint;

-- name: pause_sink
UPDATE relay_sinks SET is_paused = $2::text::boolean
WHERE sink = $1;

-- name: strike_topic
-- A rebuild compares all of a topic, or of all topics, with the table. That the sink carries them
-- stays known: until then it may lack some of what the table has.
UPDATE relay_checkpoints SET
    marks = relay_checkpoints.marks || coalesce((
        SELECT jsonb_object_agg(carried.topic, '{}'::jsonb)
        FROM jsonb_object_keys(relay_checkpoints.marks) AS carried (topic)
        WHERE $2::text IS NULL OR carried.topic = $2
    ), '{}'::jsonb)
WHERE relay_checkpoints.sink = $1;

-- name: outbox_replay_page
SELECT
    outbox.id::text, outbox.aggregatetype, outbox.aggregateid, outbox.type,
    outbox.payload::text, outbox.tenant_id, outbox.sequence::text, outbox.causationid::text,
    outbox.traceparent, outbox.occurred_at::text, outbox.recorded_at::text,
    outbox.position::text, outbox.tracestate
FROM outbox
WHERE
    outbox.position > $1::text::bigint
    AND outbox.position <= $2::text::bigint
    AND outbox.aggregatetype = any($3::text[])
    AND ($4::text IS NULL OR outbox.aggregateid = $4::text)
    AND outbox.recorded_at >= coalesce($5::text::timestamptz, '-infinity')
    AND outbox.recorded_at < coalesce($6::text::timestamptz, 'infinity')
ORDER BY outbox.position
LIMIT $7::text::bigint;

-- name: relay_status
WITH newest AS (
    SELECT DISTINCT ON (kept.sink) kept.sink, kept.taken_at, kept.floor_position
    FROM relay_checkpoints AS kept
    ORDER BY kept.sink ASC, kept.kept_for DESC
),

aside AS (
    SELECT
        refused.sink,
        count(*) AS messages
    FROM relay_set_aside AS refused
    GROUP BY refused.sink
),

asked AS (
    SELECT
        waiting.sink,
        count(*) AS commands
    FROM relay_commands AS waiting
    WHERE waiting.done_at IS NULL
    GROUP BY waiting.sink
)

SELECT
    relay_sinks.sink,
    relay_sinks.slot,
    relay_sinks.epoch,
    relay_sinks.is_paused,
    relay_sinks.has_gap,
    coalesce(slots.active, relay_sinks.slot = '' AND relay_reads_table(relay_sinks.sink), FALSE)
        AS is_active,
    slots.active_pid,
    relay_sinks.seen_at,
    slots.wal_status,
    slots.safe_wal_size,
    pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
        slots.confirmed_flush_lsn
    )::bigint AS behind_bytes,
    newest.taken_at AS checkpoint_at,
    newest.floor_position,
    greatest(0, (
        SELECT CASE WHEN drawn.is_called THEN drawn.last_value ELSE 0 END
        FROM outbox_position AS drawn
    ) - newest.floor_position) AS behind_positions,
    coalesce(aside.messages, 0) AS set_aside,
    coalesce(asked.commands, 0) AS commands_waiting
FROM relay_sinks
LEFT JOIN pg_replication_slots AS slots ON relay_sinks.slot = slots.slot_name
LEFT JOIN newest ON relay_sinks.sink = newest.sink
LEFT JOIN aside ON relay_sinks.sink = aside.sink
LEFT JOIN asked ON relay_sinks.sink = asked.sink
ORDER BY relay_sinks.sink;

-- name: relay_set_aside_listed
SELECT id, sink, topic, key, reason, set_aside_at, length(message::text) AS bytes
FROM relay_set_aside
WHERE :sink::text IS NULL OR sink = :sink
ORDER BY sink, topic, key, position
LIMIT :rows_max;

-- name: ask_relay
INSERT INTO relay_commands (
    sink, command, topic, key, first_at, end_at, message_id, actor, reason
)
SELECT
    sink, :command::text, :topic::text, :key::text, :first_at::timestamptz,
    :end_at::timestamptz, :message_id::uuid, :actor::text, :reason::text
FROM relay_sinks
WHERE sink = :sink
RETURNING id;

-- name: relay_command
SELECT asked.done_at, asked.outcome, relay_sinks.is_paused
FROM relay_commands AS asked
INNER JOIN relay_sinks ON asked.sink = relay_sinks.sink
WHERE asked.id = :id;

-- name: sink_to_drop
-- Who may have the sink still, and what goes with it. A relay that would take it over waits for us.
SELECT
    relay_sinks.slot,
    relay_sinks.is_paused,
    relay_reads_table(relay_sinks.sink) OR EXISTS (
        SELECT FROM pg_replication_slots AS slots
        WHERE slots.slot_name = relay_sinks.slot AND slots.active
    ) AS is_read,
    extract(EPOCH FROM clock_timestamp() - relay_sinks.seen_at)::float8 AS seen_seconds_ago,
    (
        SELECT count(*) FROM relay_set_aside AS refused
        WHERE refused.sink = relay_sinks.sink
    ) AS set_aside,
    (
        SELECT count(*) FROM relay_commands AS waiting
        WHERE waiting.sink = relay_sinks.sink AND waiting.done_at IS NULL
    ) AS commands_waiting
FROM relay_sinks
WHERE relay_sinks.sink = :sink
FOR UPDATE OF relay_sinks;

-- name: drop_slot_of_sink
SELECT pg_drop_replication_slot(slots.slot_name)
FROM relay_sinks
INNER JOIN pg_replication_slots AS slots ON relay_sinks.slot = slots.slot_name
WHERE relay_sinks.sink = :sink;

-- name: forget_sink
DELETE FROM relay_sinks
WHERE relay_sinks.sink = :sink;
