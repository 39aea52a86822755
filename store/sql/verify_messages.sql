-- What `payments verify` asks of the outbox and the dead letters, and what it compares the
-- topics and the provider's journal with.

-- name: verify_outbox
-- For as long as rows are kept, every public event went into the outbox as it is, and
-- every event there is one that happened, but of a payment whose history was archived. The history
-- has what never changes in a payment's first event alone.
WITH public_events AS (
    SELECT
        event.id, event.payment_id, event.sequence, event.type,
        kept_of_event(
            event.data::jsonb || jsonb_build_object(
                'payment',
                (first_event.data -> 'payment')::jsonb || (event.data -> 'payment')::jsonb
            )
        ) AS data
    FROM payment_events AS event
    LEFT JOIN payment_events AS first_event
        ON event.payment_id = first_event.payment_id AND first_event.version = 1
    WHERE event.sequence IS NOT NULL AND event.occurred_at > now() - make_interval(secs => :kept_s)
),

said AS (
    SELECT
        id, aggregateid, sequence, type, kept_of_event(payload::jsonb) AS payload
    FROM outbox
    WHERE aggregatetype = 'payments.events' AND recorded_at > now() - make_interval(secs => :kept_s)
)

SELECT
    format('event %s', coalesce(public_events.id, said.id)) AS subject,
    CASE
        WHEN said.id IS NULL THEN 'is not in the outbox'
        WHEN public_events.id IS NULL THEN 'is in the outbox and did not happen'
        ELSE 'is not in the outbox as it happened'
    END AS problem
FROM public_events
FULL JOIN said ON public_events.id = said.id
WHERE
    (
        said.id IS NULL
        OR public_events.id IS NULL
        OR said.aggregateid <> public_events.payment_id::text
        OR said.sequence IS DISTINCT FROM public_events.sequence
        OR said.type <> public_events.type
        OR said.payload IS DISTINCT FROM public_events.data
    )
    AND NOT EXISTS (
        SELECT 1 FROM archived_history AS archived
        WHERE
            coalesce(said.aggregateid::uuid, public_events.payment_id) >= archived.first_id
            AND coalesce(said.aggregateid::uuid, public_events.payment_id) < archived.end_id
    );

-- name: verify_letters
-- A message is parked once, and for as long as rows are kept each letter was also
-- published with its bytes.
WITH said AS (
    SELECT
        payload -> 'dead_letter' ->> 'id' AS id,
        decode(payload -> 'dead_letter' ->> 'value_base64', 'base64') AS value
    FROM outbox
    WHERE aggregatetype = 'payments.dlq' AND recorded_at > now() - make_interval(secs => :kept_s)
)

SELECT
    format('message %s/%s@%s', topic, message_partition, message_offset) AS subject,
    format('was parked %s times at %s', count(*), stage) AS problem
FROM dead_letters
WHERE payment_id IS NULL
GROUP BY topic, message_partition, message_offset, message_value, stage
HAVING count(*) > 1
UNION ALL
SELECT format('dead letter %s', letters.id), 'was not published with the bytes it keeps'
FROM dead_letters AS letters
LEFT JOIN said
    ON letters.id::text = said.id AND letters.message_value IS NOT DISTINCT FROM said.value
WHERE letters.last_failed_at > now() - make_interval(secs => :kept_s) AND said.id IS NULL;

-- name: verify_published
-- Every message the outbox holds, with a digest of its bytes: what the topics must have.
SELECT
    id, aggregatetype AS topic, aggregateid AS key, sequence, recorded_at,
    decode(md5(payload::text), 'hex') AS digest
FROM outbox;

-- name: verify_published_later
-- Those of some that came after the baseline.
SELECT id, aggregatetype AS topic, decode(md5(payload::text), 'hex') AS digest
FROM outbox
WHERE id = any(:ids::uuid[]) AND recorded_at >= :since;

-- name: verify_poison
-- How often each message that could not be processed was parked, by topic and bytes, and
-- how many of these letters were sent again, which may have been parked again. What waits
-- behind another can be processed.
SELECT
    topic,
    decode(md5(coalesce(message_value, ''::bytea)), 'hex') AS digest,
    count(*) AS letters,
    count(*) FILTER (WHERE state = 'redriven') AS redriven
FROM dead_letters
WHERE payment_id IS NULL AND reason <> 'waits_behind'
GROUP BY topic, digest;

-- name: verify_subjects
-- Which of $1 are payments or refunds.
SELECT id FROM payments
WHERE id = any($1::uuid[])
UNION ALL
SELECT id FROM refunds
WHERE id = any($1::uuid[]);

-- name: verify_charges
-- What a provider should have done for each external payment, or for those of $1 alone; and
-- whether a letter or a break that is open names a difference.
SELECT
    id, version, provider, status, currency, captured_minor, refunded_minor, refund_pending_minor,
    disputed_minor, coalesce(operation = 'void', false) AS owes_void,
    EXISTS (
        SELECT 1 FROM dead_letters
        WHERE dead_letters.payment_id = payments.id AND dead_letters.state = 'parked'
    )
    OR EXISTS (
        SELECT 1 FROM reconciliation_breaks
        WHERE
            reconciliation_breaks.payment_id = payments.id
            AND reconciliation_breaks.state = 'open'
    ) AS is_named
FROM payments
WHERE payment_type = 'external_payment' AND ($1::uuid[] IS NULL OR id = any($1::uuid[]));

-- name: verify_slots
-- How far each relay has confirmed, in bytes of WAL since the beginning of time.
SELECT slot_name AS name, (confirmed_flush_lsn - '0/0')::bigint AS reached
FROM pg_replication_slots
WHERE slot_name = any($1::text[]) AND database = current_database();

-- name: verify_written
-- How far the WAL is written.
SELECT (pg_current_wal_lsn() - '0/0')::bigint;

-- name: verify_checkpoints
-- Up to which position of the outbox each sink has everything, by its newest checkpoint.
SELECT DISTINCT ON (sink) sink AS name, floor_position AS reached
FROM relay_checkpoints
WHERE sink = any($1::text[])
ORDER BY sink ASC, kept_for DESC;
