-- As load.sql, in its order, for a batch that has waited for long enough: it locks what is free,
-- and asks what else is there. That is held by somebody else, and what it does not find does not
-- exist.

-- name: lock_free_payments
SELECT * FROM payments
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: present_payments
SELECT id FROM payments
WHERE id = any($1::uuid[]);

-- name: lock_free_dead_letters
SELECT * FROM dead_letters
WHERE id = any(:ids::uuid[]) OR (queued_for = any(:queues::uuid[]) AND state = 'parked')
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: present_dead_letters
SELECT id FROM dead_letters
WHERE id = any(:ids::uuid[]) OR (queued_for = any(:queues::uuid[]) AND state = 'parked');

-- name: lock_free_accounts
SELECT * FROM accounts
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: present_accounts
SELECT id FROM accounts
WHERE id = any($1::uuid[]);

-- name: lock_free_payment_methods
SELECT * FROM payment_methods
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: present_payment_methods
SELECT id FROM payment_methods
WHERE id = any($1::uuid[]);

-- name: lock_free_webhook_endpoints
SELECT * FROM webhook_endpoints
WHERE id = any($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: present_webhook_endpoints
SELECT id FROM webhook_endpoints
WHERE id = any($1::uuid[]);
