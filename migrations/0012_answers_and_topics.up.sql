-- Online: an index or a constraint over all there is must hold nobody up. Each statement may be
-- run again.

-- An answer that its own request may still replace, once, while it waits for a payment's end.
ALTER TABLE idempotency_keys ADD COLUMN IF NOT EXISTS provisional boolean NOT NULL DEFAULT FALSE;

-- A row for a topic that nobody knows would hold the relay for good. The topics are those of
-- `topics/contracts/channels.py`. Every partition has it, those to come too.
ALTER TABLE outbox
DROP CONSTRAINT IF EXISTS outbox_topic_is_declared,
ADD CONSTRAINT outbox_topic_is_declared CHECK (aggregatetype IN (
    'payments.events', 'payments.accounts', 'payments.charges', 'payments.refunds', 'payments.dlq'
)) NOT VALID;

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

ALTER TABLE outbox VALIDATE CONSTRAINT outbox_topic_is_declared;

-- What a provider's settlement report of a period must show. A build that broke off has left an
-- index that is not valid.
DROP INDEX CONCURRENTLY IF EXISTS payments_by_settlement;
CREATE INDEX CONCURRENTLY payments_by_settlement ON payments (provider, completed_at, id)
WHERE provider IS NOT NULL AND completed_at IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS refunds_by_settlement;
CREATE INDEX CONCURRENTLY refunds_by_settlement ON refunds (provider, completed_at, id)
WHERE provider IS NOT NULL AND completed_at IS NOT NULL;
