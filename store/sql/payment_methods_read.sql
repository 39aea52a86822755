-- Reading payment methods. Each statement names the tenant.

-- name: payment_method_by_id
SELECT * FROM payment_methods
WHERE tenant_id = :tenant_id AND account_id = :account_id AND id = :id;

-- name: payment_methods_page
-- A null state filters nothing.
SELECT * FROM payment_methods
WHERE
    account_id = :account_id
    AND tenant_id = :tenant_id
    AND id < :before_id
    AND (:state::text IS NULL OR state = :state)
ORDER BY id DESC
LIMIT :rows_max;
