-- Reading webhook endpoints and deliveries. Each statement names the tenant; a null one is an
-- operator at the console, who sees them all.

-- name: webhook_endpoint_by_id
SELECT endpoint.*, failure.failing_since, failure.failure_count, failure.retry_at
FROM webhook_endpoints AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure ON endpoint.id = failure.endpoint_id
WHERE
    endpoint.id = :id
    AND (:tenant_id::text IS NULL OR endpoint.tenant_id = :tenant_id)
    AND endpoint.state <> 'deleted';

-- name: webhook_endpoints_page
SELECT endpoint.*, failure.failing_since, failure.failure_count, failure.retry_at
FROM webhook_endpoints AS endpoint
LEFT JOIN webhook_endpoint_failures AS failure ON endpoint.id = failure.endpoint_id
WHERE
    (:tenant_id::text IS NULL OR endpoint.tenant_id = :tenant_id)
    AND endpoint.id < :before_id
    AND endpoint.state <> 'deleted'
    AND (:state::text IS NULL OR endpoint.state = :state)
ORDER BY endpoint.id DESC
LIMIT :rows_max;

-- name: webhook_deliveries_page
SELECT * FROM webhook_deliveries
WHERE
    endpoint_id = :endpoint_id
    AND (created_at, id) < (:before_time, :before_id)
    AND (:state::text IS NULL OR state = :state)
    AND (:event_type::text IS NULL OR event_type = :event_type)
    AND (:created_from::timestamptz IS NULL OR created_at >= :created_from)
    AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
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
