-- Online: the relay goes by positions. A row's is drawn while its key is locked, so that those of
-- a key are in the order of its commits; and only by a transaction that has a number, so that when
-- all numbers up to one have ended, no position drawn before it is still to come. Each statement
-- may be run again.

CREATE SEQUENCE IF NOT EXISTS outbox_position;

-- Null in rows from before, which the relay has published or reads from the WAL.
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS position bigint;
ALTER TABLE outbox ALTER COLUMN position SET DEFAULT
CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('outbox_position') END;

-- One row a sink: who may write to it now.
CREATE TABLE IF NOT EXISTS relay_sinks (
    sink text PRIMARY KEY,
    writer uuid NOT NULL DEFAULT gen_random_uuid(), -- what the sink knows it by, for ever
    epoch bigint NOT NULL DEFAULT 0, -- one more with each relay that takes over
    slot text,
    was_drained boolean NOT NULL DEFAULT TRUE, -- by the last writer, before it ended
    has_gap boolean NOT NULL DEFAULT FALSE, -- the slot is new, and what it missed may be missing
    is_paused boolean NOT NULL DEFAULT FALSE
);

-- What a sink has been seen to have. `marks` says for each topic and partition from where on to
-- read back what the floor does not cover, and what end it had: [[first, second], [first, second]].
CREATE TABLE IF NOT EXISTS relay_checkpoints (
    sink text NOT NULL REFERENCES relay_sinks (sink) ON DELETE CASCADE,
    kept_for timestamptz NOT NULL, -- the minute, of which the last one is kept
    floor_position bigint NOT NULL, -- every row with a position up to this is there
    lsn pg_lsn NOT NULL, -- every row committed before this is there
    timeline integer NOT NULL,
    system_identifier text NOT NULL,
    marks jsonb NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (sink, kept_for)
);

-- What a sink refused for its content, and what came after it with the same key.
CREATE TABLE IF NOT EXISTS relay_set_aside (
    sink text NOT NULL REFERENCES relay_sinks (sink) ON DELETE CASCADE,
    position bigint NOT NULL,
    id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    message json NOT NULL, -- the columns of its outbox row, which will be dropped
    reason text, -- null for what waits behind one that was refused
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, position, id)
);
CREATE INDEX IF NOT EXISTS relay_set_aside_by_key
ON relay_set_aside (sink, topic, key, position);

-- What operators ask of a relay, which does it within a second or so, once.
CREATE TABLE IF NOT EXISTS relay_commands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink text NOT NULL REFERENCES relay_sinks (sink) ON DELETE CASCADE,
    command text NOT NULL CHECK (command IN (
        'pause', 'resume', 'rebuild', 'replay', 'retry', 'skip'
    )),
    topic text,
    key text,
    first_at timestamptz,
    end_at timestamptz,
    message_id uuid,
    actor text NOT NULL,
    reason text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    outcome text
);
CREATE INDEX IF NOT EXISTS relay_commands_waiting ON relay_commands (sink, id)
WHERE done_at IS NULL;

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

CREATE INDEX IF NOT EXISTS outbox_by_position ON ONLY outbox (position);

-- Run each: what a run that was cut off left unfinished.
SELECT format('DROP INDEX CONCURRENTLY %I', child_index.relname)
FROM pg_inherits
INNER JOIN pg_index ON pg_inherits.inhrelid = pg_index.indrelid AND NOT pg_index.indisvalid
INNER JOIN pg_class AS child_index ON pg_index.indexrelid = child_index.oid
WHERE pg_inherits.inhparent = 'outbox'::regclass AND child_index.relname LIKE '%\_by\_position';

-- Run each: the partitions that are there; those to come get theirs from the table.
SELECT
    format(
        'CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON %I (position)',
        child.relname || '_by_position', child.relname
    )
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE pg_inherits.inhparent = 'outbox'::regclass
AND NOT EXISTS (
    SELECT FROM pg_index
    INNER JOIN pg_inherits AS of_index ON pg_index.indexrelid = of_index.inhrelid
    WHERE
        pg_index.indrelid = child.oid
        AND of_index.inhparent = 'outbox_by_position'::regclass
);

SET lock_timeout = '2s';

-- Run each: and the table's index is whole.
SELECT
    format(
        'ALTER INDEX outbox_by_position ATTACH PARTITION %I', child.relname || '_by_position'
    )
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE
    pg_inherits.inhparent = 'outbox'::regclass
    AND to_regclass(format('%I', child.relname || '_by_position')) IS NOT NULL;
