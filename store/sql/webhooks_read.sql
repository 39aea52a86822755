-- Reading webhook endpoints and deliveries. Each statement names the tenant; a null one is an
-- operator at the command line, who sees them all.

-- name: webhook_endpoint_by_id
SELECT endpoint.*, failure.failing_since, failure.failure_count, failure.retry_at
FROM webhook_endpoints AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure ON endpoint.id = failure.endpoint_id
WHERE
    endpoint.id = :id
    AND (:tenant_id::text IS NULL OR endpoint.tenant_id = :tenant_id)
    AND endpoint.state <> 'deleted';

-- name: webhook_endpoints_page
-- A page as `store/read/found.py` has it. Those that were deleted stay, and are left out.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY tenant_id DESC, id DESC) AS place,
        (state <> 'deleted' AND (:state::text IS NULL OR state = :state)) AS is_wanted
    FROM webhook_endpoints
    WHERE
        (tenant_id, id) <= (:tenant_id, :before_id)
        AND id <> :before_id
        AND tenant_id >= :tenant_id
    ORDER BY tenant_id DESC, id DESC
    LIMIT :read_max
)

SELECT endpoint.*, failure.failing_since, failure.failure_count, failure.retry_at
FROM looked_at AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure ON endpoint.id = failure.endpoint_id
WHERE endpoint.is_wanted OR endpoint.place = :read_max
ORDER BY endpoint.tenant_id DESC, endpoint.id DESC
LIMIT :rows_max;

-- name: webhook_endpoints_page_of_all
-- Likewise, of every tenant.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY id DESC) AS place,
        (state <> 'deleted' AND (:state::text IS NULL OR state = :state)) AS is_wanted
    FROM webhook_endpoints
    WHERE id < :before_id
    ORDER BY id DESC
    LIMIT :read_max
)

SELECT endpoint.*, failure.failing_since, failure.failure_count, failure.retry_at
FROM looked_at AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure ON endpoint.id = failure.endpoint_id
WHERE endpoint.is_wanted OR endpoint.place = :read_max
ORDER BY endpoint.id DESC
LIMIT :rows_max;

-- name: webhook_deliveries_page
-- A page as `store/read/found.py` has it. Those that failed, which are few, have an index of their
-- own.
WITH in_order AS (
    (
        SELECT * FROM webhook_deliveries
        WHERE
            :state::text IS DISTINCT FROM 'failed'
            AND endpoint_id = :endpoint_id
            AND (created_at, id) < (:before_time, :before_id)
            AND created_at >= coalesce(:created_from::timestamptz, '-infinity')
        ORDER BY created_at DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM webhook_deliveries
        WHERE
            :state::text = 'failed'
            AND state = 'failed'
            AND endpoint_id = :endpoint_id
            AND (created_at, id) < (:before_time, :before_id)
            AND created_at >= coalesce(:created_from::timestamptz, '-infinity')
        ORDER BY created_at DESC, id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY created_at DESC, id DESC) AS place,
        (
            (:state::text IS NULL OR state = :state)
            AND (:event_type::text IS NULL OR event_type = :event_type)
        ) AS is_wanted
    FROM in_order
    ORDER BY created_at DESC, id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY created_at DESC, id DESC
LIMIT :rows_max;

-- name: webhook_delivery_by_id
SELECT delivery.* FROM webhook_deliveries AS delivery
INNER JOIN webhook_endpoints AS endpoint ON delivery.endpoint_id = endpoint.id
WHERE
    delivery.id = :id
    AND delivery.endpoint_id = :endpoint_id
    AND endpoint.state <> 'deleted'
    AND (:tenant_id::text IS NULL OR endpoint.tenant_id = :tenant_id);

-- name: webhook_attempts_of
-- The newest first, of which a page is enough: there is none beyond its schedule, but for replays.
SELECT * FROM webhook_attempts
WHERE delivery_id = :delivery_id
ORDER BY number DESC
LIMIT :rows_max;
