-- Reading disputes. A null tenant is an operator at the console, who sees them all.

-- name: dispute_by_id
SELECT * FROM disputes
WHERE (:tenant_id::text IS NULL OR tenant_id = :tenant_id) AND id = :id;

-- name: disputes_page
-- Newest first. Ids are derived, so the time orders and the id only breaks ties.
SELECT * FROM disputes
WHERE
    (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
    AND (created_at, id) < (:before_time, :before_id)
    AND (:state::text IS NULL OR state = :state)
    AND (:provider::text IS NULL OR provider = :provider)
    AND (:payment_id::uuid IS NULL OR payment_id = :payment_id)
ORDER BY created_at DESC, id DESC
LIMIT :rows_max;
