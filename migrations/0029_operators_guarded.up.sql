-- Online: what operators cannot take back is held against what the database knows. Each statement
-- may be run again.

-- A month that is not over is never taken out, by this server's clock and with room for others':
-- what comes later would have no partition, and its history would be said to be archived. Of what
-- is dropped already nothing is asked any more, so that it need not be validated.
ALTER TABLE archived_history
DROP CONSTRAINT IF EXISTS archived_history_is_over,
ADD CONSTRAINT archived_history_is_over CHECK (
    leftovers = '{}'
    OR first_instant_of(end_id) <= archived_at AT TIME ZONE 'UTC' - interval '1 day'
) NOT VALID;

-- When a relay that has the sink last said so. Null: none of this release has had it.
ALTER TABLE relay_sinks ADD COLUMN IF NOT EXISTS seen_at timestamptz;

-- Whether a relay reads the table for this sink: `lock_table_reading` has the same numbers.
CREATE OR REPLACE FUNCTION relay_reads_table(text) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT FROM pg_locks
    WHERE
        pg_locks.locktype = 'advisory' AND pg_locks.granted
        AND pg_locks.database = (
            SELECT pg_database.oid FROM pg_database
            WHERE pg_database.datname = current_database()
        )
        AND pg_locks.classid = (hashtext('payments relay')::bigint & 4294967295)::oid
        AND pg_locks.objid = (hashtext($1)::bigint & 4294967295)::oid
        AND pg_locks.objsubid = 2
);
