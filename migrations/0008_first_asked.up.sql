-- Whatever a provider was asked for before is asked after before it is asked for again, and its
-- memory of our key is counted from the first time.

ALTER TABLE payments
ADD COLUMN asked_operation text CHECK (asked_operation IN (
    'charge', 'authorize', 'capture', 'void'
)),
ADD COLUMN first_asked_at timestamptz;
ALTER TABLE refunds ADD COLUMN first_asked_at timestamptz;
