-- The console: sessions of browsers, and the audit log of what operators asked for.

-- name: insert_console_session
INSERT INTO console_sessions (id_sha256, key_id, created_at, expires_at)
VALUES (:id_sha256, :key_id, :now, :expires_at);

-- name: console_session_key
-- Whose session it is, as long as it is one.
SELECT key_id FROM console_sessions
WHERE id_sha256 = :id_sha256 AND ended_at IS NULL AND expires_at > :now;

-- name: end_console_session
UPDATE console_sessions SET ended_at = :now
WHERE id_sha256 = :id_sha256 AND ended_at IS NULL;

-- name: forget_console_sessions
-- What has long expired, a few at a time, by whoever signs in next.
DELETE FROM console_sessions
WHERE id_sha256 IN (
    SELECT old.id_sha256 FROM console_sessions AS old
    WHERE old.expires_at < :before
    ORDER BY old.expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
);

-- name: insert_audit_log
INSERT INTO audit_log (
    id, tenant_id, about_tenant_id, actor, via, action, target, reason, asked, outcome, request_id,
    recorded_at
)
SELECT
    unnest(:id::uuid[]), unnest(:tenant_id::text[]), unnest(:about_tenant_id::text[]),
    unnest(:actor::text[]), unnest(:via::text[]), unnest(:action::text[]),
    unnest(:target::text[]), unnest(:reason::text[]), unnest(:asked::json[]),
    unnest(:outcome::text[]), unnest(:request_id::text[]), unnest(:recorded_at::timestamptz[]);

-- name: audit_log_page
-- A page as `store/read/found.py` has it: what the tenant's operators asked, what the platform's
-- asked about the tenant, and what was asked about no tenant, each by its own index; these are
-- sorted together.
WITH in_order AS (
    (
        SELECT * FROM audit_log
        WHERE
            :tenant_id::text <> ''
            AND (tenant_id, id) <= (:tenant_id, :before_id)
            AND id <> :before_id
            AND tenant_id >= :tenant_id
        ORDER BY tenant_id DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM audit_log
        WHERE
            tenant_id = ''
            AND about_tenant_id IS NOT NULL
            AND (about_tenant_id, id) <= (:tenant_id, :before_id)
            AND id <> :before_id
            AND about_tenant_id >= :tenant_id
        ORDER BY about_tenant_id DESC, id DESC
        LIMIT :read_max
    )
    UNION ALL
    (
        SELECT * FROM audit_log
        WHERE tenant_id = '' AND about_tenant_id IS NULL AND id < :before_id
        ORDER BY id DESC
        LIMIT :read_max
    )
),

looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY id DESC) AS place,
        (
            (:action::text IS NULL OR action = :action)
            AND (:target::text IS NULL OR target = :target)
        ) AS is_wanted
    FROM in_order
    ORDER BY id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY id DESC
LIMIT :rows_max;

-- name: audit_log_of_all
-- Likewise, for who has the database in hand: of every tenant, and of none.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER (ORDER BY id DESC) AS place,
        (
            (:tenant_id::text IS NULL OR coalesce(about_tenant_id, tenant_id) = :tenant_id)
            AND (:actor::text IS NULL OR actor = :actor)
            AND (:action::text IS NULL OR action = :action)
        ) AS is_wanted
    FROM audit_log
    WHERE id < :before_id AND id >= :first_id
    ORDER BY id DESC
    LIMIT :read_max
)

SELECT * FROM looked_at
WHERE is_wanted OR place = :read_max
ORDER BY id DESC
LIMIT :rows_max;
