-- Disputes are forgotten; their money stays where the ledger has it.

UPDATE provider_events SET effect = 'lapsed'
WHERE effect = 'recorded';
ALTER TABLE provider_events DROP CONSTRAINT provider_events_effect_check,
ADD CONSTRAINT provider_events_effect_check CHECK (effect IN (
    'asked', 'nothing', 'confirmed', 'lapsed', 'contradiction', 'unresolved'
));
ALTER TABLE refunds DROP COLUMN origin;
ALTER TABLE payments DROP COLUMN disputed_minor;
DROP TABLE disputes;
