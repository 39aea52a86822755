-- Online: the audit log has what was asked at the command line, too. Each statement may be run
-- again.

-- `tenant_id` is whose operator asked: '' where the platform's own did, as at the command line.
-- This is whom it was about then, null for what is no tenant's, like a relay.
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS about_tenant_id text;

-- The release before lists what its tenant's operators asked, and knows no other way than two: what
-- it does not know is nowhere where it looks.
ALTER TABLE audit_log
DROP CONSTRAINT IF EXISTS audit_log_via_check,
DROP CONSTRAINT IF EXISTS audit_log_via_is_known,
DROP CONSTRAINT IF EXISTS audit_log_is_whose_operator_asked,
ADD CONSTRAINT audit_log_via_is_known CHECK (via IN ('api', 'console', 'cli')) NOT VALID,
ADD CONSTRAINT audit_log_is_whose_operator_asked CHECK (
    tenant_id = '' OR (via <> 'cli' AND about_tenant_id IS NULL)
) NOT VALID;

-- From here on nothing takes a lock that a reader or a writer would wait for, so it may wait.
SET lock_timeout = 0;

ALTER TABLE audit_log VALIDATE CONSTRAINT audit_log_via_is_known;
ALTER TABLE audit_log VALIDATE CONSTRAINT audit_log_is_whose_operator_asked;

-- A build that broke off has left an index that is not valid.
DROP INDEX CONCURRENTLY IF EXISTS audit_log_about_tenant;
CREATE INDEX CONCURRENTLY audit_log_about_tenant ON audit_log (about_tenant_id, id DESC)
WHERE tenant_id = '' AND about_tenant_id IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_about_none;
CREATE INDEX CONCURRENTLY audit_log_about_none ON audit_log (id DESC)
WHERE tenant_id = '' AND about_tenant_id IS NULL;
