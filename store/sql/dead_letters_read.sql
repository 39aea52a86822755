-- Reading dead letters. A null tenant is an operator at the console, who sees them all.

-- name: dead_letter_by_id
SELECT * FROM dead_letters
WHERE ($1::text IS NULL OR tenant_id = $1) AND id = $2;

-- name: dead_letters_behind
-- Those that are parked because of another, in the order in which they will be sent.
SELECT id FROM dead_letters
WHERE queued_for = $1 AND waits_behind = $2 AND state = 'parked'
ORDER BY message_partition, message_offset;

-- name: dead_letters_page
-- Newest failure first. Ids are derived, so the time orders and the id only breaks ties.
SELECT * FROM dead_letters
WHERE
    ($1::text IS NULL OR tenant_id = $1)
    AND (last_failed_at, id) < ($2, $3)
    AND ($4::text IS NULL OR state = $4)
    AND ($5::text IS NULL OR stage = $5)
    AND ($6::text IS NULL OR reason = $6)
ORDER BY last_failed_at DESC, id DESC
LIMIT $7;
