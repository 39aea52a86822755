-- A payment's messages keep their order: while one of them is parked, the later ones to the
-- same stage are parked behind it. Letters from before hold up nobody.

ALTER TABLE dead_letters
ADD COLUMN queued_for uuid, -- the payment whose message it is
ADD COLUMN waits_behind uuid; -- the letter that is in its way

CREATE INDEX dead_letters_in_queues ON dead_letters (queued_for)
WHERE state = 'parked' AND queued_for IS NOT NULL;

-- The letter in the way is kept with the payment because a claim locks that row: what a
-- statement reads of another table after it waited for the lock is as old as the statement.
ALTER TABLE payments ADD COLUMN charge_blocked_by uuid, ADD COLUMN refund_blocked_by uuid;
