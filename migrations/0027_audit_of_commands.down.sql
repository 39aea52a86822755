-- What was written stays, as it was signed, and so does the column that says whom it was about: the
-- release before reads neither, and could not be told later.
DROP INDEX audit_log_about_tenant;
DROP INDEX audit_log_about_none;

ALTER TABLE audit_log
DROP CONSTRAINT audit_log_via_is_known,
DROP CONSTRAINT audit_log_is_whose_operator_asked,
ADD CONSTRAINT audit_log_via_check CHECK (via IN ('api', 'console')) NOT VALID;
