-- Authorizations are held for ever again; a notification that ended one is forgotten.

DELETE FROM provider_events
WHERE effect = 'lapsed';

ALTER TABLE provider_events DROP CONSTRAINT provider_events_effect_check,
ADD CONSTRAINT provider_events_effect_check CHECK (effect IN (
    'asked', 'nothing', 'confirmed', 'contradiction', 'unresolved'
));

ALTER TABLE payments
DROP CONSTRAINT payments_waiting_is_due, DROP CONSTRAINT payments_authorization_ends;

UPDATE payments SET due_at = NULL
WHERE operation IS NULL;

ALTER TABLE payments ADD CONSTRAINT payments_owed_is_due
CHECK ((operation IS NULL) = (due_at IS NULL)),
DROP COLUMN authorization_expires_at;
