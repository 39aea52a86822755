-- What an operator at the console names by its id alone.

-- name: subject_by_id
-- A payment or a refund, whosever it is. Ids are unique over both.
SELECT currency, provider, provider_reference, false AS is_refund FROM payments
WHERE id = :id
UNION ALL
SELECT currency, provider, provider_reference, true AS is_refund FROM refunds
WHERE id = :id;
