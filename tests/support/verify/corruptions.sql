-- What a bug, a bad migration or a hand could do to a sound database, one kind after the
-- other, each with the invariants it violates.

-- corruption: a transfer of another amount violates I1 I2 I9
UPDATE ledger_transfers SET amount_minor = amount_minor + 1
WHERE transaction_type = 'payment' AND state = 'posted';

-- corruption: money from nowhere violates I1 I2
UPDATE accounts SET credits_posted = credits_posted + 1;

-- corruption: a transfer to an account nobody has violates I1 I2
UPDATE ledger_transfers SET credit_account_id = gen_random_uuid()
WHERE transaction_type = 'transfer';

-- corruption: a transfer in another currency violates I1
UPDATE ledger_transfers SET currency = 'EUR' WHERE transaction_type = 'transfer';

-- corruption: a system account that is gone violates I1
DELETE FROM system_accounts WHERE code = 'clearing:stripe';

-- corruption: an overdrawn account violates I1 I2
ALTER TABLE accounts DROP CONSTRAINT accounts_never_overdrawn;
UPDATE accounts SET debits_posted = credits_posted + 1;

-- corruption: a hold without a payment violates I2
UPDATE accounts SET debits_pending = debits_pending + 100;

-- corruption: a hold that outlives its payment violates I2 I9
DELETE FROM ledger_transfers WHERE state = 'voided';

-- corruption: a payment nobody looks at violates I3
UPDATE payments SET operation = NULL, due_at = NULL WHERE status = 'unknown';

-- corruption: a review without a letter violates I3 I11
UPDATE payments SET status = 'review' WHERE status = 'unknown';

-- corruption: a payment due for an hour violates I3
UPDATE payments SET due_at = now() - interval '1 hour' WHERE status = 'unknown';

-- corruption: an authorization nobody ends violates I3
ALTER TABLE payments DROP CONSTRAINT payments_waiting_is_due;
UPDATE payments SET due_at = NULL WHERE status = 'authorized';

-- corruption: a payment that waits behind a letter that left violates I3
UPDATE dead_letters SET state = 'discarded', resolved_at = now(), resolved_by = 'nobody'
WHERE queued_for IS NOT NULL AND waits_behind IS NULL;

-- corruption: a queue that nothing holds up violates I3
UPDATE payments SET charge_blocked_by = NULL;

-- corruption: an answer about nothing violates I5
UPDATE idempotency_keys
SET body = convert_to(json_build_object('id', gen_random_uuid())::text, 'UTF8')
WHERE key LIKE 'pay-%';

-- corruption: an answer that was not kept violates I6
DELETE FROM idempotency_keys;

-- corruption: two payments of one key violates I6
UPDATE payments SET idempotency_key = (SELECT min(key) FROM idempotency_keys)
WHERE idempotency_key IS NOT NULL;

-- corruption: an event that was never said violates I7
DELETE FROM outbox WHERE type = 'refund.completed';

-- corruption: an event said otherwise violates I7
UPDATE outbox SET payload = '{}' WHERE type = 'payment.completed';

-- corruption: an event that did not happen violates I7
INSERT INTO outbox
SELECT (jsonb_populate_record(said, jsonb_build_object('id', gen_random_uuid()))).*
FROM outbox AS said WHERE type = 'payment.completed';

-- corruption: a version left out violates I7 I8
DELETE FROM payment_events WHERE version = 1 AND type = 'payment.created';

-- corruption: a payment without history violates I7 I8
DELETE FROM payment_events WHERE data -> 'payment' ->> 'status' = 'failed';
DELETE FROM payment_events WHERE payment_id IN (SELECT id FROM payments WHERE status = 'failed');

-- corruption: a sequence that jumps violates I7 I8
UPDATE payment_events SET sequence = sequence + 1 WHERE type = 'payment.completed';

-- corruption: a payment posted twice violates I1 I2 I9
INSERT INTO ledger_transfers
SELECT (jsonb_populate_record(moved, jsonb_build_object(
    'id', gen_random_uuid(), 'pending_id', NULL, 'releases_minor', 0
))).*
FROM ledger_transfers AS moved WHERE transaction_type = 'payment' AND state = 'posted';

-- corruption: a refund that moved nothing violates I1 I2 I9
DELETE FROM ledger_transfers WHERE transaction_type = 'refund' AND currency = 'USD';

-- corruption: a promise nobody made violates I9
UPDATE payments SET refund_pending_minor = 7 WHERE status = 'partially_refunded';

-- corruption: a payment that nobody would find violates I3
DELETE FROM open_payments WHERE status = 'failed';

-- corruption: a row that says something else was held violates I2
UPDATE ledger_transfers SET debit_held_after = debit_held_after + 1 WHERE state = 'pending';

-- corruption: a letter parked twice violates I10
INSERT INTO dead_letters
SELECT (jsonb_populate_record(letter, jsonb_build_object('id', gen_random_uuid()))).*
FROM dead_letters AS letter;

-- corruption: a letter with other bytes violates I10
UPDATE dead_letters SET message_value = 'x';

-- corruption: a letter nobody was told of violates I10
DELETE FROM outbox WHERE aggregatetype = 'payments.dlq';

-- corruption: a payment that is not what was said violates I11
UPDATE payments SET provider_reference = 'pi_2' WHERE status = 'partially_refunded';

-- corruption: a refund that is not what was said violates I9 I11
UPDATE refunds SET status = 'unknown', due_at = now() WHERE status = 'failed';

-- corruption: an end that was taken back violates I7 I8 I11 I12
INSERT INTO payment_events
SELECT (jsonb_populate_record(event, jsonb_build_object(
    'id', gen_random_uuid(), 'version', event.version + 1, 'sequence', event.sequence + 1,
    'data', replace(event.data::text, '"failed"', '"processing"')::json
))).*
FROM payment_events AS event WHERE type = 'payment.failed';

-- corruption: a dispute that took what no payment says violates I9
UPDATE payments SET disputed_minor = 1 WHERE captured_minor > 0;
