-- Reading payment methods. Each statement names the tenant.

-- name: payment_method_by_id
SELECT * FROM payment_methods
WHERE tenant_id = :tenant_id AND account_id = :account_id AND id = :id;

-- name: payment_methods_page
-- A page as `store/read/found.py` has it. A null state filters nothing.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY account_id DESC, id DESC) AS place,
        (tenant_id = :tenant_id AND (:state::text IS NULL OR state = :state)) AS is_wanted
    FROM payment_methods
    WHERE
        (account_id, id) <= (:account_id, :before_id)
        AND id <> :before_id
        AND account_id >= :account_id
    ORDER BY account_id DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY account_id DESC, id DESC
LIMIT :rows_max;
