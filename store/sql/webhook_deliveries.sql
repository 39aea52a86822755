-- Webhooks on their way: recorded from the topic, claimed with a lease, and what became of each.

-- name: record_webhook_events
-- Each event that somebody wants, once, and a delivery for each endpoint that wants it, once: a
-- message that comes again records nothing. They are listed in this order. What happened before an
-- endpoint was there is not sent.
WITH said AS (
    SELECT * FROM unnest(
        :ids::uuid[], :tenant_ids::text[], :types::text[], :payment_ids::uuid[],
        :sequences::integer[], :datas::text[], :occurred_ats::timestamptz[],
        :traceparents::text[], :tracestates::text[], :recorded_ats::timestamptz[]
    ) AS said (
        id, tenant_id, type, payment_id, sequence, data, occurred_at, traceparent, tracestate,
        recorded_at
    )
),

wanted AS (
    SELECT said.*, endpoint.id AS endpoint_id
    FROM said
    INNER JOIN webhook_endpoints AS endpoint
        ON
            said.tenant_id = endpoint.tenant_id
            AND endpoint.state IN ('enabled', 'paused')
            AND said.occurred_at >= endpoint.created_at
            AND (endpoint.event_types = '{}' OR said.type = any(endpoint.event_types))
),

kept AS (
    INSERT INTO webhook_events (
        id, tenant_id, type, payment_id, sequence, data, occurred_at, traceparent, tracestate,
        recorded_at
    )
    SELECT DISTINCT ON (id)
        id, tenant_id, type, payment_id, sequence, data::json, occurred_at, traceparent, tracestate,
        recorded_at
    FROM wanted
    ON CONFLICT (id) DO NOTHING
)

INSERT INTO webhook_deliveries (
    id, tenant_id, endpoint_id, event_id, event_type, payment_id, sequence, state, due_at,
    created_at, updated_at
)
SELECT
    gen_random_uuid(), tenant_id, endpoint_id, id, type, payment_id, sequence, 'pending',
    recorded_at, recorded_at, recorded_at
FROM wanted
ON CONFLICT (endpoint_id, event_id) DO NOTHING;

-- name: is_any_event_wanted
-- Whether there is an endpoint that an event could be recorded for.
SELECT exists(
    SELECT FROM webhook_endpoints
    WHERE state IN ('enabled', 'paused')
);

-- name: claim_webhook_deliveries
-- What is due, of each endpoint that is not left alone as much as there is room for, one of each
-- before a second one of any; of endpoints that have not taken anything yet no more than
-- `unproven_max` in all. What of the same payment comes before must be over. Where somebody else
-- claims the same, it is locked or due no more.
WITH RECURSIVE waiting AS (
    (
        SELECT endpoint_id FROM webhook_deliveries
        WHERE due_at IS NOT NULL
        ORDER BY endpoint_id
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT delivery.endpoint_id FROM webhook_deliveries AS delivery
        WHERE delivery.due_at IS NOT NULL AND delivery.endpoint_id > waiting.endpoint_id
        ORDER BY delivery.endpoint_id
        LIMIT 1
    ) AS endpoint_id
    FROM waiting
    WHERE waiting.endpoint_id IS NOT NULL
),

known AS (
    SELECT * FROM unnest(:endpoint_ids::uuid[], :rooms::integer[], :are_proven::boolean[])
        AS known (endpoint_id, room, is_proven)
),

candidates AS (
    SELECT
        delivery.id, delivery.place,
        coalesce(known.is_proven, FALSE) AS is_proven
    FROM waiting
    INNER JOIN webhook_endpoints AS endpoint
        ON waiting.endpoint_id = endpoint.id AND endpoint.state = 'enabled'
    LEFT JOIN webhook_endpoint_failures AS failure
        ON endpoint.id = failure.endpoint_id AND failure.retry_at > :now
    LEFT JOIN known ON endpoint.id = known.endpoint_id
    CROSS JOIN LATERAL (
        SELECT due.id, row_number() OVER (ORDER BY due.due_at) AS place
        FROM webhook_deliveries AS due
        WHERE
            due.endpoint_id = endpoint.id
            AND due.due_at <= :now
            AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries AS earlier
                WHERE
                    earlier.endpoint_id = due.endpoint_id
                    AND earlier.payment_id = due.payment_id
                    AND earlier.sequence < due.sequence
                    AND earlier.due_at IS NOT NULL
            )
        ORDER BY due.due_at
        LIMIT :room_max
    ) AS delivery
    WHERE failure.endpoint_id IS NULL AND delivery.place <= coalesce(known.room, 1)
),

turns AS (
    SELECT
        id, place, is_proven,
        row_number() OVER (PARTITION BY is_proven ORDER BY place, id) AS turn
    FROM candidates
),

chosen AS (
    SELECT id FROM turns
    WHERE is_proven OR turn <= :unproven_max
    ORDER BY place, id
    LIMIT :claims_max
),

locked AS (
    SELECT delivery.id FROM webhook_deliveries AS delivery
    INNER JOIN chosen ON delivery.id = chosen.id
    WHERE delivery.due_at <= :now
    FOR UPDATE OF delivery SKIP LOCKED
),

claimed AS (
    UPDATE webhook_deliveries AS delivery SET
        due_at = :leased_until,
        lease_id = :lease_id,
        attempt_count = delivery.attempt_count + 1,
        updated_at = :now
    FROM locked
    WHERE delivery.id = locked.id
    RETURNING delivery.*
),

tried AS (
    INSERT INTO webhook_attempts (delivery_id, number, started_at)
    SELECT id, attempt_count, :now::timestamptz FROM claimed
)

SELECT
    claimed.id AS delivery_id, claimed.attempt_count, claimed.retry_count, claimed.endpoint_id,
    event.id AS event_id, event.type, event.occurred_at, event.data, event.traceparent,
    event.tracestate
FROM claimed
INNER JOIN webhook_events AS event ON claimed.event_id = event.id;

-- name: finish_webhook_attempts
-- What became of tries. A delivery follows its last one only: of a try whose lease ran out, and
-- that was made again, only the attempt is told.
WITH ended AS (
    SELECT * FROM unnest(
        :delivery_ids::uuid[], :numbers::integer[], :durations_ms::integer[], :statuses::integer[],
        :errors::text[], :answers::bytea[], :states::text[], :due_ats::timestamptz[],
        :retry_counts::integer[], :ended_ats::timestamptz[]
    ) AS ended (
        delivery_id, number, duration_ms, status, error, answer, state, due_at, retry_count,
        ended_at
    )
),

told AS (
    UPDATE webhook_attempts AS attempt SET
        duration_ms = ended.duration_ms,
        status = ended.status,
        error = ended.error,
        answer = ended.answer
    FROM ended
    WHERE attempt.delivery_id = ended.delivery_id AND attempt.number = ended.number
)

UPDATE webhook_deliveries AS delivery SET
    state = ended.state,
    due_at = ended.due_at,
    lease_id = NULL,
    retry_count = ended.retry_count,
    last_status = ended.status,
    last_error = ended.error,
    updated_at = ended.ended_at,
    delivered_at = CASE WHEN ended.state = 'delivered' THEN ended.ended_at END
FROM ended
WHERE
    delivery.id = ended.delivery_id
    AND delivery.lease_id = :lease_id
    AND delivery.attempt_count = ended.number;

-- name: webhook_endpoints_failed
-- Endpoints that did not take something, with how often in a row now; until when each is left alone
-- is for the caller, who knows what is decided by that.
INSERT INTO webhook_endpoint_failures AS known (
    endpoint_id, failing_since, failure_count, retry_at
)
SELECT endpoint_id, :now::timestamptz, failures, :now::timestamptz
FROM unnest(:endpoint_ids::uuid[], :failures::integer[]) AS failed (endpoint_id, failures)
ORDER BY endpoint_id
ON CONFLICT (endpoint_id) DO UPDATE SET
    failure_count = least(known.failure_count + excluded.failure_count, 1000000)
RETURNING endpoint_id, failing_since, failure_count;

-- name: leave_webhook_endpoints_alone
UPDATE webhook_endpoint_failures AS known SET retry_at = alone.retry_at
FROM unnest(:endpoint_ids::uuid[], :retry_ats::timestamptz[]) AS alone (endpoint_id, retry_at)
WHERE known.endpoint_id = alone.endpoint_id;

-- name: webhook_endpoints_took
DELETE FROM webhook_endpoint_failures
WHERE endpoint_id = any(:endpoint_ids::uuid[]);

-- name: close_webhook_deliveries
-- Of endpoints that are sent nothing any more, a part at a time.
UPDATE webhook_deliveries AS delivery SET
    state = 'failed',
    due_at = NULL,
    lease_id = NULL,
    last_error = 'the endpoint is ' || closed.state,
    updated_at = :now
FROM (
    SELECT waiting.id, endpoint.state
    FROM webhook_endpoints AS endpoint
    CROSS JOIN LATERAL (
        SELECT due.id FROM webhook_deliveries AS due
        WHERE due.endpoint_id = endpoint.id AND due.due_at <= :now
        ORDER BY due.due_at
        LIMIT :rows_max
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    WHERE endpoint.state IN ('disabled', 'deleted')
) AS closed
WHERE delivery.id = closed.id;

-- name: next_webhook_replay
-- Of the tenant that comes after the one whose turn was last, so that nobody waits for more than a
-- part of each other's.
SELECT * FROM webhook_replays
WHERE done_at IS NULL
ORDER BY tenant_id <= :after_tenant_id, tenant_id, requested_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: replay_webhook_deliveries
-- A part of what is asked for, the oldest first: each is due at once, by a schedule that begins
-- anew. Returns how many were looked at, and up to where.
WITH part AS (
    SELECT id, created_at, state FROM webhook_deliveries
    WHERE
        endpoint_id = :endpoint_id
        AND (:delivery_id::uuid IS NULL OR id = :delivery_id)
        AND created_at >= coalesce(:created_from::timestamptz, '-infinity')
        AND created_at < coalesce(:created_before::timestamptz, 'infinity')
        AND (created_at, id) > (
            coalesce(:passed_at::timestamptz, '-infinity'),
            coalesce(:passed_id::uuid, '00000000-0000-0000-0000-000000000000')
        )
        AND created_at <= :requested_at
        AND (NOT :failed_only OR state = 'failed')
    ORDER BY created_at, id
    LIMIT :rows_max
),

replayed AS (
    UPDATE webhook_deliveries AS delivery SET
        state = 'pending',
        due_at = :now,
        retry_count = 0,
        updated_at = :now,
        delivered_at = NULL
    FROM part
    WHERE delivery.id = part.id AND delivery.lease_id IS NULL
    RETURNING delivery.id
)

SELECT
    count(*) AS looked_at,
    (SELECT count(*) FROM replayed) AS replayed,
    max(created_at) AS passed_at,
    (array_agg(id ORDER BY created_at DESC, id DESC))[1] AS passed_id
FROM part;

-- name: note_webhook_replay
UPDATE webhook_replays SET
    passed_at = :passed_at,
    passed_id = :passed_id,
    replayed_count = replayed_count + :replayed,
    done_at = :done_at
WHERE id = :id;

-- name: webhook_endpoint_states
-- How many endpoints are in each state; failing are those that are enabled and take nothing.
WITH known AS (
    SELECT
        CASE WHEN failure.failure_count > 2 THEN 'failing' ELSE endpoint.state END AS standing
    FROM webhook_endpoints AS endpoint
    LEFT JOIN webhook_endpoint_failures AS failure
        ON endpoint.id = failure.endpoint_id AND endpoint.state = 'enabled'
    WHERE endpoint.state <> 'deleted'
)

SELECT standing AS state, count(*) AS endpoints
FROM known
GROUP BY standing;

-- name: webhook_endpoints_by_id
SELECT * FROM webhook_endpoints
WHERE id = any(:ids::uuid[]);

-- name: forget_webhook_events
-- A part of what is old: attempts, deliveries without any, events without any of those. However
-- much there is of an event, no more than so many rows of each are looked at and go, and hardly any
-- by a cascade. All of it sees what was there before; while there is an old event something goes.
-- Returns how many rows that were.
WITH oldest AS MATERIALIZED (
    SELECT id FROM webhook_events
    WHERE recorded_at < :before
    ORDER BY recorded_at
    LIMIT :rows_max
),

told AS MATERIALIZED (
    SELECT delivery.id
    FROM oldest
    CROSS JOIN LATERAL (
        SELECT each.id FROM webhook_deliveries AS each
        WHERE each.event_id = oldest.id
        ORDER BY each.id
        LIMIT :rows_max
    ) AS delivery
    LIMIT :rows_max -- noqa: AM09
),

attempts AS (
    DELETE FROM webhook_attempts
    WHERE ctid = any(
        array(
            SELECT attempt.place
            FROM told
            CROSS JOIN LATERAL (
                SELECT each.ctid AS place FROM webhook_attempts AS each
                WHERE each.delivery_id = told.id
                ORDER BY each.number
                LIMIT :rows_max
            ) AS attempt
            LIMIT :rows_max -- noqa: AM09
        )
    )
    RETURNING 1
),

deliveries AS (
    DELETE FROM webhook_deliveries
    WHERE id = any(
        array(
            SELECT told.id
            FROM told
            LEFT JOIN LATERAL (
                SELECT each.number FROM webhook_attempts AS each
                WHERE each.delivery_id = told.id
                ORDER BY each.number
                LIMIT 1
            ) AS attempt ON TRUE
            WHERE attempt.number IS NULL
        )
    )
    RETURNING 1
),

events AS (
    DELETE FROM webhook_events
    WHERE id = any(
        array(
            SELECT oldest.id
            FROM oldest
            LEFT JOIN LATERAL (
                SELECT each.event_id FROM webhook_deliveries AS each
                WHERE each.event_id = oldest.id
                ORDER BY each.event_id
                LIMIT 1
            ) AS delivery ON TRUE
            WHERE delivery.event_id IS NULL
        )
    )
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM attempts)
    + (SELECT count(*) FROM deliveries)
    + (SELECT count(*) FROM events) AS deleted;
