ALTER TABLE payments SET (fillfactor = 60);
ALTER TABLE attempts_first ADD CONSTRAINT attempts_first_pkey PRIMARY KEY (id);
DROP INDEX payments_by_tenant;
CREATE INDEX payments_by_tenant ON payments (tenant_id, id DESC);
