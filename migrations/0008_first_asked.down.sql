ALTER TABLE refunds DROP COLUMN first_asked_at;
ALTER TABLE payments DROP COLUMN asked_operation, DROP COLUMN first_asked_at;
