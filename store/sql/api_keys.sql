-- API keys: only what a key hashes to is here, never a key.

-- name: api_key_by_id
SELECT * FROM api_keys
WHERE id = :id;

-- name: api_keys_by_id
SELECT * FROM api_keys
WHERE id = any($1::text[]);

-- name: api_keys
SELECT * FROM api_keys
WHERE $1::text IS NULL OR tenant_id = $1
ORDER BY created_at, id;

-- name: insert_api_key
INSERT INTO api_keys (id, tenant_id, name, secret_sha256, scopes, created_at, expires_at)
VALUES (
    :id, :tenant_id, :name, :secret_sha256, :scopes, :created_at, :expires_at
);

-- name: revoke_api_key
-- The first revocation is the one that is remembered.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :at)
WHERE id = :id
RETURNING *;

-- name: expire_api_key
-- Never later than it would have expired anyway.
UPDATE api_keys SET expires_at = least(expires_at, :at)
WHERE id = :id
RETURNING *;
