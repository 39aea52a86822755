-- Online: what is there becomes the first partition, and no row is copied. Each statement may be
-- run again.

-- Nobody waits for longer than this behind one that waits itself; it is tried again.
SET lock_timeout = '100ms';

-- A provider's key follows from what an attempt is for: only another one is kept.
ALTER TABLE attempts ALTER COLUMN provider_key DROP NOT NULL;

SELECT history_bound('payment_events');
SELECT history_bound('attempts');

-- These take no lock that a reader or a writer would wait for, so they may wait.
SET lock_timeout = 0;
SELECT history_validate('payment_events');
SELECT history_validate('attempts');

SET lock_timeout = '100ms';
SELECT history_divide(
    'payment_events', 'ALTER TABLE payment_events ADD PRIMARY KEY (payment_id, version)'
);

-- An attempt is found by what it is for. Its id, which is unique by itself, has an index in the
-- first partition alone: the release before looks for it there.
SELECT history_divide(
    'attempts',
    'CREATE UNIQUE INDEX attempts_once_a_number ON attempts ('
    'payment_id, coalesce(refund_id, payment_id), number)'
);

-- An attempt is finished once, and has one index: room beside each, which is then kept for ever, is
-- dearer than the entry.
ALTER TABLE attempts_first RESET (fillfactor);
