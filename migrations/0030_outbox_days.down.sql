DROP FUNCTION outbox_drop(text, timestamptz);
