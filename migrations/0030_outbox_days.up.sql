-- A day of the outbox leaves when nobody needs it any more. The function before stays: the release
-- before calls it.

-- Drops a day of the outbox, unless it is gone. Refused, by its name, while a sink that is known
-- has not been seen to have what the day has for it. Left for another time where some of it was
-- written since `kept_since`, whatever its date: whoever reads on from before that would be told
-- that all up to there is gone.
CREATE FUNCTION outbox_drop(dropped text, kept_since timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last_position bigint;
    first_kept bigint;
    lacking text;
BEGIN
    IF to_regclass(dropped) IS NULL THEN
        RETURN;
    END IF;
    -- A clock that is days behind may add to it still; who reads it goes on.
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', dropped);
    EXECUTE format('SELECT max(position) FROM %I', dropped) INTO last_position;
    -- Of many the least: one that was days behind may have dated the first of them.
    SELECT min(kept.position) INTO first_kept
    FROM (
        SELECT outbox.position FROM outbox
        WHERE outbox.recorded_at >= kept_since
        ORDER BY outbox.recorded_at
        LIMIT 100
    ) AS kept;
    IF last_position > first_kept THEN
        RETURN;
    END IF;
    -- What a sink carries is what its checkpoint speaks of; without one, all.
    EXECUTE format(
        'SELECT string_agg(relay_sinks.sink, '', '' ORDER BY relay_sinks.sink)
        FROM relay_sinks
        LEFT JOIN LATERAL (
            SELECT floor_position, marks FROM relay_checkpoints
            WHERE relay_checkpoints.sink = relay_sinks.sink
            ORDER BY kept_for DESC
            LIMIT 1
        ) AS newest ON TRUE
        WHERE EXISTS (
            SELECT FROM %I AS message
            WHERE
                message.position > coalesce(newest.floor_position, 0)
                AND coalesce(newest.marks ? message.aggregatetype, TRUE)
        )',
        dropped
    ) INTO lacking;
    IF lacking IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format(
            '%s has messages that were not seen to be in %s: the relay goes on, or is dropped',
            dropped, lacking
        );
    END IF;
    PERFORM partition_drop('outbox', dropped);
END;
$$;
