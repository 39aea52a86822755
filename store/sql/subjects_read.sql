-- What is named by its id alone: by an operator at the console, by a message.

-- name: subject_by_id
-- A payment or a refund, whosever it is. Ids are unique over both.
SELECT tenant_id, currency, provider, provider_reference, version, false AS is_refund
FROM payments
WHERE id = :id
UNION ALL
SELECT tenant_id, currency, provider, provider_reference, version, true AS is_refund
FROM refunds
WHERE id = :id;

-- name: known_subjects
-- Which of these are payments or refunds: whatever one owes is due some time, and sent again.
SELECT id FROM payments
WHERE id = any(:ids::uuid[])
UNION ALL
SELECT id FROM refunds
WHERE id = any(:ids::uuid[]);
