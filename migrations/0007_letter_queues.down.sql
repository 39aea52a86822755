-- Letters hold up nobody; those that waited can be redriven like any other.

ALTER TABLE payments DROP COLUMN charge_blocked_by, DROP COLUMN refund_blocked_by;

UPDATE dead_letters SET reason = 'handler_error'
WHERE reason = 'waits_behind';

DROP INDEX dead_letters_in_queues;

ALTER TABLE dead_letters DROP COLUMN queued_for, DROP COLUMN waits_behind;
