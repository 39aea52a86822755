-- Two indexes are built while nobody may write: to be done at rest.
CREATE INDEX payments_by_tenant_descending ON payments (tenant_id, id DESC);
DROP INDEX payments_by_tenant;
ALTER INDEX payments_by_tenant_descending RENAME TO payments_by_tenant;

DO $$
BEGIN
    IF to_regclass('attempts_first') IS NOT NULL THEN
        ALTER TABLE attempts_first ADD CONSTRAINT attempts_first_pkey PRIMARY KEY (id);
    END IF;
END;
$$;
