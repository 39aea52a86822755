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
-- What the tenant's operators asked, what the platform's asked about the tenant, and what was asked
-- about no tenant: a page of each, by its own index, and of these the newest.
SELECT * FROM (
    (
        SELECT * FROM audit_log
        WHERE
            tenant_id = :tenant_id AND tenant_id <> ''
            AND id < :before_id
            AND (:action::text IS NULL OR action = :action)
            AND (:target::text IS NULL OR target = :target)
        ORDER BY id DESC
        LIMIT :rows_max
    )
    UNION ALL
    (
        SELECT * FROM audit_log
        WHERE
            tenant_id = '' AND about_tenant_id = :tenant_id
            AND id < :before_id
            AND (:action::text IS NULL OR action = :action)
            AND (:target::text IS NULL OR target = :target)
        ORDER BY id DESC
        LIMIT :rows_max
    )
    UNION ALL
    (
        SELECT * FROM audit_log
        WHERE
            tenant_id = '' AND about_tenant_id IS NULL
            AND id < :before_id
            AND (:action::text IS NULL OR action = :action)
            AND (:target::text IS NULL OR target = :target)
        ORDER BY id DESC
        LIMIT :rows_max
    )
) AS entries
ORDER BY id DESC
LIMIT :rows_max;

-- name: audit_log_of_all
-- For who has the database in hand: of every tenant, and of none.
SELECT * FROM audit_log
WHERE
    id >= :first_id
    AND (:tenant_id::text IS NULL OR coalesce(about_tenant_id, tenant_id) = :tenant_id)
    AND (:actor::text IS NULL OR actor = :actor)
    AND (:action::text IS NULL OR action = :action)
ORDER BY id DESC
LIMIT :rows_max;
