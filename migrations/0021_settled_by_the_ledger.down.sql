CREATE INDEX payments_by_settlement ON payments (provider, completed_at, id)
WHERE provider IS NOT NULL AND completed_at IS NOT NULL;
