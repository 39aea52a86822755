-- Online: what tracing systems keep of their own beside a trace (W3C tracestate), carried on like
-- it. One table at a time, so that nobody waits for two; each statement may be run again.
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS tracestate text;
ALTER TABLE webhook_events ADD COLUMN IF NOT EXISTS tracestate text;
