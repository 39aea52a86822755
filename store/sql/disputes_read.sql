-- Reading disputes. A null tenant is an operator at the command line, who sees them all.

-- name: dispute_by_id
-- By its id alone: an index that has it behind other columns is no way to it.
SELECT * FROM disputes
WHERE id = :id AND (tenant_id = :tenant_id) IS NOT FALSE;

-- name: disputes_page
-- A page as `store/read/found.py` has it. Newest first. Ids are derived, so the time orders and the
-- id only breaks ties.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY tenant_id DESC, created_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:provider::text IS NULL OR provider = :provider)
        ) AS is_wanted
    FROM disputes
    WHERE
        (tenant_id, created_at, id) <= (:tenant_id, :before_time, :before_id)
        AND id <> :before_id
        AND tenant_id >= :tenant_id
    ORDER BY tenant_id DESC, created_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY tenant_id DESC, created_at DESC, id DESC
LIMIT :rows_max;

-- name: disputes_page_of_all
-- Likewise, of every tenant.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY created_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:provider::text IS NULL OR provider = :provider)
        ) AS is_wanted
    FROM disputes
    WHERE (created_at, id) < (:before_time, :before_id)
    ORDER BY created_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY created_at DESC, id DESC
LIMIT :rows_max;

-- name: disputes_page_of_payment
-- Likewise, but of a payment, which has few: they are sorted.
WITH of_payment AS MATERIALIZED (
    SELECT * FROM disputes
    WHERE payment_id = :payment_id
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY created_at DESC, id DESC) AS place,
        (
            (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
            AND (:state::text IS NULL OR state = :state)
            AND (:provider::text IS NULL OR provider = :provider)
        ) AS is_wanted
    FROM of_payment
    WHERE (created_at, id) < (:before_time, :before_id)
    ORDER BY created_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY created_at DESC, id DESC
LIMIT :rows_max;
