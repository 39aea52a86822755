-- An authorization ends: one that nobody captures is due when its time is over, so that no
-- customer's money is held for ever. A release from before cannot record an authorization
-- any more: what its worker holds is asked after, and recorded, by one of this release.

ALTER TABLE payments
ADD COLUMN authorization_expires_at timestamptz, DROP CONSTRAINT payments_owed_is_due;

-- What was authorized before nobody was told the end of: a week from now.
UPDATE payments SET authorization_expires_at = now() + interval '7 days'
WHERE capture_method = 'manual' AND status IN ('authorized', 'unknown', 'review');
UPDATE payments SET due_at = authorization_expires_at
WHERE status = 'authorized' AND operation IS NULL;

-- Never in silence: whoever owes a provider call, or waits for a client, has a time to be
-- looked at.
ALTER TABLE payments
ADD CONSTRAINT payments_waiting_is_due
CHECK ((operation IS NULL AND status <> 'authorized') = (due_at IS NULL)),
ADD CONSTRAINT payments_authorization_ends
CHECK (status <> 'authorized' OR authorization_expires_at IS NOT NULL);

ALTER TABLE provider_events DROP CONSTRAINT provider_events_effect_check,
ADD CONSTRAINT provider_events_effect_check CHECK (effect IN (
    'asked', 'nothing', 'confirmed', 'lapsed', 'contradiction', 'unresolved'
));
