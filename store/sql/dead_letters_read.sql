-- Reading dead letters. A null tenant is an operator at the console, who sees them all.

-- name: dead_letter_by_id
SELECT * FROM dead_letters
WHERE (:tenant_id::text IS NULL OR tenant_id = :tenant_id) AND id = :id;

-- name: dead_letters_behind
-- Those that are parked because of another, in the order in which they will be sent.
SELECT id FROM dead_letters
WHERE queued_for = :queued_for AND waits_behind = :waits_behind AND state = 'parked'
ORDER BY message_partition, message_offset;

-- name: dead_letters_page
-- Newest failure first. Ids are derived, so the time orders and the id only breaks ties.
SELECT * FROM dead_letters
WHERE
    (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
    AND (last_failed_at, id) < (:before_time, :before_id)
    AND (:state::text IS NULL OR state = :state)
    AND (:stage::text IS NULL OR stage = :stage)
    AND (:reason::text IS NULL OR reason = :reason)
ORDER BY last_failed_at DESC, id DESC
LIMIT :rows_max;

-- name: tenants_of_letters
SELECT id, tenant_id FROM dead_letters
WHERE id = any(:ids::uuid[]);
