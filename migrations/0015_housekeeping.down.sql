DROP TABLE housekeeping;
DROP FUNCTION partition_drop(regclass, text);
DROP FUNCTION partition_make(regclass, timestamptz, timestamptz, integer);
