-- Online: what was settled when is found by the ledger, whose ids are times. Without this index the
-- end of a payment changes no index at all.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS payments_by_settlement;
