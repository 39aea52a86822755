-- Reading dead letters. A null tenant is an operator at the command line, who sees them all.

-- name: dead_letter_by_id
-- By its id alone: an index that has it behind other columns is no way to it.
SELECT * FROM dead_letters
WHERE id = :id AND (tenant_id = :tenant_id) IS NOT FALSE;

-- name: dead_letters_behind
-- Those that are parked because of another, in the order in which they will be sent.
SELECT id FROM dead_letters
WHERE queued_for = :queued_for AND waits_behind = :waits_behind AND state = 'parked'
ORDER BY message_partition, message_offset;

-- name: dead_letters_page
-- A page as `store/read/found.py` has it. Those that are parked, which somebody has to look at,
-- have an index of their own, for who says of the time what it says. Newest failure first. Ids are
-- derived, so the time orders and the id only breaks ties.
WITH in_order AS (
    (
        SELECT * FROM dead_letters
        WHERE
            :state::text IS DISTINCT FROM 'parked'
            AND (tenant_id, last_failed_at, id) <= (:tenant_id, :before_time, :before_id)
            AND id <> :before_id
            AND tenant_id >= :tenant_id
        ORDER BY tenant_id DESC, last_failed_at DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM dead_letters
        WHERE
            :state::text = 'parked'
            AND state = 'parked'
            AND last_failed_at > '-infinity'
            AND (tenant_id, last_failed_at, id) <= (:tenant_id, :before_time, :before_id)
            AND id <> :before_id
            AND tenant_id >= :tenant_id
        ORDER BY tenant_id DESC, last_failed_at DESC, id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY tenant_id DESC, last_failed_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:stage::text IS NULL OR stage = :stage)
            AND (:reason::text IS NULL OR reason = :reason)
        ) AS is_wanted
    FROM in_order
    ORDER BY tenant_id DESC, last_failed_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY tenant_id DESC, last_failed_at DESC, id DESC
LIMIT :rows_max;

-- name: dead_letters_page_of_all
-- Likewise, of every tenant.
WITH in_order AS (
    (
        SELECT * FROM dead_letters
        WHERE
            :state::text IS DISTINCT FROM 'parked'
            AND (last_failed_at, id) < (:before_time, :before_id)
        ORDER BY last_failed_at DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM dead_letters
        WHERE
            :state::text = 'parked'
            AND state = 'parked'
            AND last_failed_at > '-infinity'
            AND (last_failed_at, id) < (:before_time, :before_id)
        ORDER BY last_failed_at DESC, id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY last_failed_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:stage::text IS NULL OR stage = :stage)
            AND (:reason::text IS NULL OR reason = :reason)
        ) AS is_wanted
    FROM in_order
    ORDER BY last_failed_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY last_failed_at DESC, id DESC
LIMIT :rows_max;

-- name: tenants_of_letters
SELECT id, tenant_id FROM dead_letters
WHERE id = any(:ids::uuid[]);
