-- Online: a list's rows are found by an index that has whose they are before its order. Each
-- statement may be run again.

-- Nothing here takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

-- They ascend, all their columns alike: what comes in goes in at the end, and a page is bounded by
-- all of them at once. A build that broke off has left an index that is not valid.
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_by_tenant;
CREATE INDEX CONCURRENTLY dead_letters_by_tenant
ON dead_letters (tenant_id, last_failed_at, id);

DROP INDEX CONCURRENTLY IF EXISTS reconciliation_breaks_by_tenant;
CREATE INDEX CONCURRENTLY reconciliation_breaks_by_tenant
ON reconciliation_breaks (tenant_id, occurred_at, id);

-- What somebody has to look at is few, among all there ever was. For who says that it goes by time
-- alone: a commit, planned while there are none, would read all of them in place of one payment's.
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_parked_by_tenant;
CREATE INDEX CONCURRENTLY dead_letters_parked_by_tenant
ON dead_letters (tenant_id, last_failed_at, id)
WHERE state = 'parked' AND last_failed_at > '-infinity';

DROP INDEX CONCURRENTLY IF EXISTS dead_letters_parked;
CREATE INDEX CONCURRENTLY dead_letters_parked ON dead_letters (last_failed_at, id)
WHERE state = 'parked' AND last_failed_at > '-infinity';
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_in_state;

DROP INDEX CONCURRENTLY IF EXISTS reconciliation_breaks_open_by_tenant;
CREATE INDEX CONCURRENTLY reconciliation_breaks_open_by_tenant
ON reconciliation_breaks (tenant_id, occurred_at, id)
WHERE state = 'open';

-- In the place of others, which descended but for their first column.
DROP INDEX CONCURRENTLY IF EXISTS disputes_of_tenant;
CREATE INDEX CONCURRENTLY disputes_of_tenant ON disputes (tenant_id, created_at, id);
DROP INDEX CONCURRENTLY IF EXISTS disputes_by_tenant;

DROP INDEX CONCURRENTLY IF EXISTS webhook_endpoints_of_tenant;
CREATE INDEX CONCURRENTLY webhook_endpoints_of_tenant ON webhook_endpoints (tenant_id, id);
DROP INDEX CONCURRENTLY IF EXISTS webhook_endpoints_by_tenant;

DROP INDEX CONCURRENTLY IF EXISTS payment_methods_of_account;
CREATE INDEX CONCURRENTLY payment_methods_of_account ON payment_methods (account_id, id);
DROP INDEX CONCURRENTLY IF EXISTS payment_methods_by_account;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_of_tenant;
CREATE INDEX CONCURRENTLY audit_log_of_tenant ON audit_log (tenant_id, id);
DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_tenant;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_of_whom;
CREATE INDEX CONCURRENTLY audit_log_of_whom ON audit_log (about_tenant_id, id)
WHERE tenant_id = '' AND about_tenant_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS audit_log_about_tenant;

-- Of every tenant, for who has the database in hand.
DROP INDEX CONCURRENTLY IF EXISTS disputes_by_age;
CREATE INDEX CONCURRENTLY disputes_by_age ON disputes (created_at, id);
