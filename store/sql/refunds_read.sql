-- Reading refunds.

-- name: refund_by_id
SELECT * FROM refunds
WHERE tenant_id = $1 AND id = $2;
