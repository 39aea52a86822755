-- Online: what grows is asked by an index, and by none that costs more than it is asked. Each
-- statement may be run again.

CREATE OR REPLACE TRIGGER open_payments_inserted
AFTER INSERT ON payments
REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION follow_payments();

CREATE OR REPLACE TRIGGER open_payments_updated
AFTER UPDATE ON payments
REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION follow_payments();

-- What of its balance the debited customer had held after the row; null for a system account, and
-- in rows from before.
ALTER TABLE ledger_transfers ADD COLUMN IF NOT EXISTS debit_held_after bigint;

-- All of a page are claimed, and finished, in one moment: room for most of their new versions.
ALTER TABLE payments SET (fillfactor = 60);
ALTER TABLE attempts SET (fillfactor = 60);

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

CALL fill_open_payments();

DROP INDEX CONCURRENTLY IF EXISTS payments_due;

-- The credits of system accounts, which are half of all, are asked by nobody but a fold over all.
DROP INDEX CONCURRENTLY IF EXISTS ledger_credits_of_customers;
CREATE INDEX CONCURRENTLY ledger_credits_of_customers
ON ledger_transfers (credit_account_id, id DESC)
WHERE credit_balance_after IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS ledger_credits;

-- Letters are listed by their last failure, mostly those that are parked, and kept for ever.
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_by_failure;
CREATE INDEX CONCURRENTLY dead_letters_by_failure ON dead_letters (last_failed_at DESC, id DESC);
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_in_state;
CREATE INDEX CONCURRENTLY dead_letters_in_state
ON dead_letters (state, last_failed_at DESC, id DESC);
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_by_state;

-- What is old is looked for every hour. A BRIN of rows that are deleted and whose room is taken
-- again ends as one that excludes nothing.
DROP INDEX CONCURRENTLY IF EXISTS idempotency_keys_recorded;
CREATE INDEX CONCURRENTLY idempotency_keys_recorded ON idempotency_keys (recorded_at);
DROP INDEX CONCURRENTLY IF EXISTS idempotency_keys_by_age;

DROP INDEX CONCURRENTLY IF EXISTS provider_events_received;
CREATE INDEX CONCURRENTLY provider_events_received ON provider_events (received_at);
DROP INDEX CONCURRENTLY IF EXISTS provider_events_by_age;
