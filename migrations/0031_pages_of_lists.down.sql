-- Indexes are built while nobody may write: to be done at rest.
CREATE INDEX audit_log_about_tenant ON audit_log (about_tenant_id, id DESC)
WHERE tenant_id = '' AND about_tenant_id IS NOT NULL;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id DESC);
CREATE INDEX payment_methods_by_account ON payment_methods (account_id, id DESC);
CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id, id DESC);
CREATE INDEX disputes_by_tenant ON disputes (tenant_id, created_at DESC, id DESC);
CREATE INDEX dead_letters_in_state ON dead_letters (state, last_failed_at DESC, id DESC);

DROP INDEX disputes_by_age;
DROP INDEX audit_log_of_whom;
DROP INDEX audit_log_of_tenant;
DROP INDEX payment_methods_of_account;
DROP INDEX webhook_endpoints_of_tenant;
DROP INDEX disputes_of_tenant;
DROP INDEX reconciliation_breaks_open_by_tenant;
DROP INDEX dead_letters_parked;
DROP INDEX dead_letters_parked_by_tenant;
DROP INDEX reconciliation_breaks_by_tenant;
DROP INDEX dead_letters_by_tenant;
