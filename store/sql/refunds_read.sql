-- Reading refunds.

-- name: refund_by_id
SELECT * FROM refunds
WHERE tenant_id = :tenant_id AND id = :id;
