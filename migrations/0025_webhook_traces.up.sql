-- The trace an event was recorded in, so that its deliveries are seen in it, too.
ALTER TABLE webhook_events ADD COLUMN traceparent text;
