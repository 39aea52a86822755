ALTER TABLE webhook_events DROP COLUMN tracestate;
ALTER TABLE outbox DROP COLUMN tracestate;
