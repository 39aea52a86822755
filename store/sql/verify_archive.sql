-- What `payments verify` does with an archive of history: its events beside those in the database,
-- for this session alone.

-- name: verify_archived
-- What was archived, of which nothing has been read.
SELECT first_id, end_id, label, manifest, payment_events, attempts FROM archived_history
ORDER BY first_id;

-- name: verify_archive_open
SELECT archive_open();

-- name: verify_archive_read
SELECT archive_read(:lines::text[]);

-- name: verify_archive_beside
SELECT archive_beside(:first_ids::uuid[]);
