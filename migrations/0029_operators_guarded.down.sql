DROP FUNCTION relay_reads_table(text);
ALTER TABLE relay_sinks DROP COLUMN seen_at;
ALTER TABLE archived_history DROP CONSTRAINT archived_history_is_over;
