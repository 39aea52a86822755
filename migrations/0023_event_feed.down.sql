DROP INDEX outbox_events_by_tenant;

CREATE OR REPLACE FUNCTION partition_drop(parent regclass, dropped text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(dropped) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', parent, dropped);
        EXECUTE format('DROP TABLE %I', dropped);
    END IF;
END;
$$;

DROP TABLE outbox_dropped;
