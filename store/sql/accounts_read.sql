-- Reading accounts. Every statement names the tenant: an id alone opens nothing.

-- name: account_by_id
SELECT * FROM accounts
WHERE tenant_id = :tenant_id AND id = :id;
