-- What decisions about webhook endpoints write, as record.sql does: one array a column.

-- name: insert_webhook_endpoints
INSERT INTO webhook_endpoints (
    id, tenant_id, url, event_types, api_version, description, state, disabled_reason, key_id,
    secret_number, previous_key_id, previous_secret_until, changed_by, version, created_at,
    updated_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:url::text[]),
    string_to_array(unnest(:event_types::text[]), ','), unnest(:api_version::text[]),
    unnest(:description::text[]), unnest(:state::text[]), unnest(:disabled_reason::text[]),
    unnest(:key_id::text[]), unnest(:secret_number::integer[]),
    unnest(:previous_key_id::text[]), unnest(:previous_secret_until::timestamptz[]),
    unnest(:changed_by::text[]), unnest(:version::integer[]), unnest(:created_at::timestamptz[]),
    unnest(:updated_at::timestamptz[]);

-- name: update_webhook_endpoints
UPDATE webhook_endpoints SET
    url = new.url,
    event_types = string_to_array(new.event_types, ','),
    description = new.description,
    state = new.state,
    disabled_reason = new.disabled_reason,
    key_id = new.key_id,
    secret_number = new.secret_number,
    previous_key_id = new.previous_key_id,
    previous_secret_until = new.previous_secret_until,
    changed_by = new.changed_by,
    version = new.version,
    updated_at = new.updated_at
FROM (
    SELECT
        unnest(:id::uuid[]) AS id, unnest(:version_before::integer[]) AS version_before,
        unnest(:url::text[]) AS url, unnest(:event_types::text[]) AS event_types,
        unnest(:description::text[]) AS description, unnest(:state::text[]) AS state,
        unnest(:disabled_reason::text[]) AS disabled_reason, unnest(:key_id::text[]) AS key_id,
        unnest(:secret_number::integer[]) AS secret_number,
        unnest(:previous_key_id::text[]) AS previous_key_id,
        unnest(:previous_secret_until::timestamptz[]) AS previous_secret_until,
        unnest(:changed_by::text[]) AS changed_by, unnest(:version::integer[]) AS version,
        unnest(:updated_at::timestamptz[]) AS updated_at
) AS new
WHERE webhook_endpoints.id = new.id AND webhook_endpoints.version = new.version_before;

-- name: insert_webhook_tests
-- An event of nobody's, and its one delivery.
WITH made AS (
    INSERT INTO webhook_events (id, tenant_id, type, data, occurred_at, recorded_at)
    SELECT
        unnest(:event_id::uuid[]), unnest(:tenant_id::text[]), 'webhook.test', '{}',
        unnest(:occurred_at::timestamptz[]), unnest(:occurred_at::timestamptz[])
)

INSERT INTO webhook_deliveries (
    id, tenant_id, endpoint_id, event_id, event_type, state, due_at, created_at, updated_at
)
SELECT
    unnest(:delivery_id::uuid[]), unnest(:tenant_id::text[]), unnest(:endpoint_id::uuid[]),
    unnest(:event_id::uuid[]), 'webhook.test', 'pending', unnest(:occurred_at::timestamptz[]),
    unnest(:occurred_at::timestamptz[]), unnest(:occurred_at::timestamptz[]);

-- name: insert_webhook_replays
INSERT INTO webhook_replays (
    id, tenant_id, endpoint_id, delivery_id, failed_only, created_from, created_before,
    requested_by, requested_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:endpoint_id::uuid[]),
    unnest(:delivery_id::uuid[]), unnest(:failed_only::boolean[]),
    unnest(:created_from::timestamptz[]), unnest(:created_before::timestamptz[]),
    unnest(:requested_by::text[]), unnest(:requested_at::timestamptz[]);
