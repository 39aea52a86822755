-- Answers that waited stay as they were settled; rows for any topic are taken again.

DROP INDEX refunds_by_settlement;
DROP INDEX payments_by_settlement;
ALTER TABLE outbox DROP CONSTRAINT outbox_topic_is_declared;
ALTER TABLE idempotency_keys DROP COLUMN provisional;
