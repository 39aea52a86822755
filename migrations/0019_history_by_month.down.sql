-- All rows are copied while nobody may write: to be done at rest.
SELECT history_unite('attempts');
SELECT history_unite('payment_events');
ALTER TABLE attempts SET (fillfactor = 60);
UPDATE attempts SET provider_key = operation || '-' || coalesce(refund_id, payment_id)
WHERE provider_key IS NULL;
ALTER TABLE attempts ALTER COLUMN provider_key SET NOT NULL;
