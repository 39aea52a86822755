-- Takes everything back; a database that carries money is not one to run this on.

DROP PUBLICATION payments_outbox;
DROP FUNCTION outbox_drop_partition;
DROP FUNCTION outbox_create_partition;
DROP TABLE api_keys;
DROP TABLE idempotency_keys;
DROP TABLE dead_letters;
DROP TABLE attempts;
DROP TABLE outbox;
DROP TABLE payment_events;
DROP TABLE ledger_transfers;
DROP TABLE refunds;
DROP TABLE payments;
DROP TABLE system_accounts;
DROP TABLE accounts;
