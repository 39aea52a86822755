DROP TABLE relay_commands;
DROP TABLE relay_set_aside;
DROP TABLE relay_checkpoints;
DROP TABLE relay_sinks;
DROP INDEX outbox_by_position;
ALTER TABLE outbox DROP COLUMN position;
DROP SEQUENCE outbox_position;
