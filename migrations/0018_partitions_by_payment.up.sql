-- What it takes to lay a payment's history (events, attempts) into partitions by the month in
-- which the payment was made; the next migration does it.

-- No UUIDv7 that is made then or later is smaller (RFC 9562, 5.7: milliseconds come first).
CREATE FUNCTION first_id_at(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    lpad(to_hex(floor(extract(EPOCH FROM instant) * 1000)::bigint), 12, '0') || repeat('0', 20)
)::uuid;

-- And back: in UTC, without a zone.
CREATE FUNCTION first_instant_of(id uuid) RETURNS timestamp
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN timestamp '1970-01-01'
+ ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond';

-- As it was, and for a key of payments' ids too, whose bounds are the first ids of those times.
CREATE OR REPLACE FUNCTION partition_make(
    parent regclass, first_at timestamptz, end_at timestamptz, rows_max integer
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    made text := format('%s_p%s', parent, to_char(first_at AT TIME ZONE 'UTC', 'YYYYMMDD'));
    caught text := format('%s_default', parent);
    key text;
    is_of_ids boolean;
    first_bound text := first_at;
    end_bound text := end_at;
    of_range text;
    is_over boolean := clock_timestamp() > end_at + interval '1 hour'; -- as clocks may differ
    has_many boolean;
    tries_left integer := 600;
BEGIN
    IF to_regclass(made) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    SELECT attname, atttypid = 'uuid'::regtype INTO key, is_of_ids
    FROM pg_partitioned_table
    INNER JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
    WHERE partrelid = parent;
    IF is_of_ids THEN
        first_bound := first_id_at(first_at);
        end_bound := first_id_at(end_at);
    END IF;
    of_range := format('%1$I >= %2$L AND %1$I < %3$L', key, first_bound, end_bound);
    EXECUTE format(
        'SELECT count(*) > %s FROM (SELECT FROM %I WHERE %s LIMIT %s) AS few',
        rows_max, caught, of_range, rows_max + 1
    ) INTO has_many;
    IF has_many AND NOT is_over THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format(
            '%s has more than %s rows of %s: it is made when its time is over',
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
                parent, made, first_bound, end_bound
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

-- Whether a table is one still, and not partitioned yet.
CREATE FUNCTION is_in_one(divided regclass) RETURNS boolean
LANGUAGE sql STABLE STRICT
RETURN (
    SELECT relkind = 'r' FROM pg_class
    WHERE oid = divided
);

-- Promises that no row is of a payment which will be made after the next month, or later still. A
-- promise from an earlier run, which may be about to be broken, is replaced.
CREATE FUNCTION history_bound(divided regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    end_at timestamptz :=
        (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC';
BEGIN
    IF is_in_one(divided) THEN
        EXECUTE format(
            'ALTER TABLE %s DROP CONSTRAINT IF EXISTS of_range, '
            'ADD CONSTRAINT of_range CHECK (payment_id < %L) NOT VALID',
            divided, first_id_at(end_at)
        );
    END IF;
END;
$$;

-- Reads all rows, and holds up nobody.
CREATE FUNCTION history_validate(divided regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF is_in_one(divided) THEN
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT of_range', divided);
    END IF;
END;
$$;

-- The table becomes the first partition of a new one under its name. No row is read or moved: the
-- constraint says where they belong, and the index of `uniqueness` is there. What it was granted,
-- the new one is.
CREATE FUNCTION history_divide(divided text, uniqueness text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    first text := divided || '_first';
    end_id text;
    each record;
BEGIN
    IF NOT is_in_one(divided::regclass) THEN
        RETURN;
    END IF;
    SELECT substring(pg_get_constraintdef(oid) FROM '''(.*)''') INTO end_id
    FROM pg_constraint
    WHERE conrelid = divided::regclass AND conname = 'of_range';
    EXECUTE format('ALTER TABLE %I RENAME TO %I', divided, first);
    FOR each IN
        SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = first::regclass
    LOOP
        EXECUTE format(
            'ALTER INDEX %I RENAME TO %I', each.name, replace(each.name, divided, first)
        );
    END LOOP;
    EXECUTE format(
        'CREATE TABLE %I (LIKE %I INCLUDING CONSTRAINTS) PARTITION BY RANGE (payment_id)',
        divided, first
    );
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT of_range', divided);
    EXECUTE uniqueness;
    FOR each IN
        SELECT
            entries.privilege_type, entries.is_grantable,
            coalesce(quote_ident(rolname), 'PUBLIC') AS grantee
        FROM pg_class, aclexplode(relacl) AS entries
        LEFT JOIN pg_roles ON pg_roles.oid = entries.grantee
        WHERE pg_class.oid = first::regclass AND entries.grantee <> relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON %I TO %s %s', each.privilege_type, divided, each.grantee,
            CASE WHEN each.is_grantable THEN 'WITH GRANT OPTION' END
        );
    END LOOP;
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
        divided, first, end_id
    );
    EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', divided || '_default', divided);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT of_range', first);
END;
$$;

-- The way back: all rows in one table again, which takes as long as there are many.
CREATE FUNCTION history_unite(divided text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    first text := divided || '_first';
    each record;
BEGIN
    IF to_regclass(first) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', first, divided);
    ELSE
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', divided, first);
    END IF;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', first, divided);
    EXECUTE format('DROP TABLE %I', divided);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', first, divided);
    FOR each IN
        SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = divided::regclass
    LOOP
        EXECUTE format(
            'ALTER INDEX %I RENAME TO %I', each.name, replace(each.name, first, divided)
        );
    END LOOP;
END;
$$;

-- What the history of a payment keeps of an event, the same from an event and from its message: not
-- what is nothing, and not what stands in the event's row.
CREATE FUNCTION kept_of_event(said jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_strip_nulls(said - 'payment') || jsonb_build_object(
    'payment', (
        SELECT jsonb_object_agg(key, value)
        FROM jsonb_each(
            CASE jsonb_typeof(said -> 'payment')
                WHEN 'object' THEN jsonb_strip_nulls(said -> 'payment')
            END
        )
        WHERE
            value NOT IN ('0', '{}', '"automatic"')
            AND key NOT IN ('id', 'version', 'amount', 'created_at', 'updated_at')
    )
);

-- Ranges of payments whose history was taken out, and which manifest says what of. Who reads their
-- history is told so. `leftovers` are tables that are detached and not dropped yet.
CREATE TABLE archived_history (
    first_id uuid PRIMARY KEY,
    end_id uuid NOT NULL CHECK (first_id < end_id), -- not in it
    label text NOT NULL,
    manifest text NOT NULL,
    payment_events bigint NOT NULL,
    attempts bigint NOT NULL,
    tables text[] NOT NULL,
    leftovers text[] NOT NULL,
    archived_at timestamptz NOT NULL
);

-- Payments of a range for which somebody is owed something, and so may need their history.
CREATE FUNCTION history_in_use(first_of_range uuid, end_of_range uuid)
RETURNS TABLE (payment_id uuid, reason text)
LANGUAGE sql STABLE AS $$
    SELECT opened.payment_id, format('is %s', opened.status) FROM open_payments AS opened
    WHERE
        opened.payment_id >= first_of_range AND opened.payment_id < end_of_range
        AND (
            opened.due_at IS NOT NULL
            OR opened.status NOT IN (
                'completed', 'failed', 'cancelled', 'partially_refunded', 'refunded'
            )
        )
    UNION ALL
    SELECT refunds.payment_id, format('has refund %s, which is %s', refunds.id, refunds.status)
    FROM refunds
    WHERE
        refunds.payment_id >= first_of_range AND refunds.payment_id < end_of_range
        AND refunds.status NOT IN ('completed', 'failed')
    UNION ALL
    SELECT disputes.payment_id, format('has dispute %s, which is open', disputes.id)
    FROM disputes
    WHERE
        disputes.payment_id >= first_of_range AND disputes.payment_id < end_of_range
        AND disputes.state = 'open'
    UNION ALL
    SELECT about.payment_id, format('has dead letter %s, which is parked', letters.id)
    FROM dead_letters AS letters
    CROSS JOIN LATERAL coalesce(letters.payment_id, letters.queued_for) AS about (payment_id)
    WHERE
        letters.state = 'parked'
        AND about.payment_id >= first_of_range AND about.payment_id < end_of_range;
$$;

-- Takes a range out of the tables, and says so. It is looked again who needs it, when nobody can
-- write there any more.
CREATE FUNCTION history_detach(
    first_of_range uuid, end_of_range uuid, tables text[], partitions text[], manifest text,
    label text, payment_events bigint, attempts bigint
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. cardinality(tables) LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', tables[n], partitions[n]);
    END LOOP;
    IF EXISTS (SELECT FROM history_in_use(first_of_range, end_of_range)) THEN
        RAISE object_in_use USING MESSAGE = 'somebody is owed something';
    END IF;
    INSERT INTO archived_history VALUES (
        first_of_range, end_of_range, label, manifest, payment_events, attempts, tables,
        partitions, clock_timestamp()
    );
END;
$$;

-- Drops what was detached of a range, and says how much was archived.
CREATE FUNCTION history_drop(first_of_range uuid, events_of_range bigint, attempts_of_range bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    each text;
BEGIN
    FOREACH each IN ARRAY (
        SELECT leftovers FROM archived_history WHERE first_id = first_of_range
    ) LOOP
        EXECUTE format('DROP TABLE %I', each);
    END LOOP;
    UPDATE archived_history
    SET leftovers = '{}', payment_events = events_of_range, attempts = attempts_of_range
    WHERE first_id = first_of_range;
END;
$$;

-- Archived events, for one session and beside those that are there: room for them, lines of them,
-- and then the tables' names mean both. What was not read is still said to be archived.
CREATE FUNCTION archive_open() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE read_events (LIKE payment_events);
    CREATE TEMP TABLE read_ranges (first_id uuid NOT NULL);
END;
$$;

CREATE FUNCTION archive_read(lines text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read_events
    SELECT kept.*
    FROM unnest(lines) AS line
    CROSS JOIN LATERAL json_populate_record(NULL::payment_events, line::json) AS kept;
END;
$$;

CREATE FUNCTION archive_beside(first_ids uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read_ranges
    SELECT unnest(first_ids);
    ANALYZE read_events;
    -- What a view is made of is what bears the name before it does.
    CREATE TEMP VIEW payment_events AS
    SELECT * FROM payment_events
    UNION ALL
    SELECT * FROM read_events;
    CREATE TEMP VIEW archived_history AS
    SELECT * FROM archived_history
    WHERE first_id NOT IN (SELECT first_id FROM read_ranges);
END;
$$;
