-- Partitions are made and dropped without a lock that an insert would wait for behind a reader.
-- The two functions of the first migration stay: the release before calls them.

-- Makes the partition `<parent>_p<YYYYMMDD>` of a range of its key, with the rows of that range
-- that the default partition has caught. Built apart and then attached, so that the parent is
-- never locked against inserts; the default is, for the move, so a range to which rows still come
-- is refused when it has more than `rows_max` of them. False for one that is there.
CREATE FUNCTION partition_make(
    parent regclass, first_at timestamptz, end_at timestamptz, rows_max integer
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    made text := format('%s_p%s', parent, to_char(first_at AT TIME ZONE 'UTC', 'YYYYMMDD'));
    caught text := format('%s_default', parent);
    key text := (
        SELECT attname FROM pg_partitioned_table
        INNER JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
        WHERE partrelid = parent
    );
    of_range text := format('%1$I >= %2$L AND %1$I < %3$L', key, first_at, end_at);
    is_over boolean := clock_timestamp() > end_at + interval '1 hour'; -- as clocks may differ
    has_many boolean;
    tries_left integer := 600;
BEGIN
    IF to_regclass(made) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    EXECUTE format(
        'SELECT count(*) > %s FROM (SELECT FROM %I WHERE %s LIMIT %s) AS few',
        rows_max, caught, of_range, rows_max + 1
    ) INTO has_many;
    IF has_many AND NOT is_over THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format(
            '%s has more than %s rows of %s: it is made when the day is over',
            caught, rows_max, made
        );
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE %s INCLUDING ALL, CONSTRAINT of_range CHECK (%s))',
        made, parent, of_range
    );
    IF NOT has_many THEN
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', caught);
    END IF;
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
        caught, of_range, made
    );
    LOOP
        BEGIN
            EXECUTE format(
                'ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, made, first_at, end_at
            );
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            -- Millions of rows were moved, and nobody waits for these: not for nothing.
            tries_left := tries_left - 1;
            IF tries_left = 0 OR NOT has_many THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.5);
        END;
    END LOOP;
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT of_range', made);
    RETURN TRUE;
END;
$$;

-- Drops a partition, unless it is gone. Not CONCURRENTLY, which Postgres refuses beside a default
-- partition.
CREATE FUNCTION partition_drop(parent regclass, dropped text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(dropped) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', parent, dropped);
        EXECUTE format('DROP TABLE %I', dropped);
    END IF;
END;
$$;

-- When each step of house-keeping was last done, and why it has not been since.
CREATE TABLE housekeeping (
    step text PRIMARY KEY,
    done_at timestamptz NOT NULL, -- first tried, for one that was never done
    refused_at timestamptz,
    refusal text
);
