-- What is not simply completed, beside the payments: a payment is then changed without a change of
-- any index of its own (HOT), and what is due or in a rare state is found among these few.

CREATE TABLE open_payments (
    payment_id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    status text NOT NULL,
    due_at timestamptz
) WITH (fillfactor = 50); -- each is rewritten once or twice, and deleted

CREATE INDEX open_payments_due ON open_payments (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX open_payments_by_status ON open_payments (tenant_id, status, payment_id DESC);

-- Follows every statement that writes payments, whichever release's: nobody can forget it. Who
-- changes a row here holds the payment's lock.
CREATE FUNCTION follow_payments() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'UPDATE' THEN
        DELETE FROM open_payments USING written
        WHERE
            open_payments.payment_id = written.id
            AND written.status = 'completed' AND written.due_at IS NULL;
    END IF;
    INSERT INTO open_payments AS known (payment_id, tenant_id, status, due_at)
    SELECT id, tenant_id, status, due_at FROM written
    WHERE status <> 'completed' OR due_at IS NOT NULL
    ON CONFLICT (payment_id) DO UPDATE SET status = excluded.status, due_at = excluded.due_at
    WHERE
        known.status <> excluded.status
        OR known.due_at IS DISTINCT FROM excluded.due_at;
    RETURN NULL;
END;
$$;

-- Takes in what was there before the triggers, some thousand at a time: each is locked against
-- change for as long as its part takes. What a trigger has written meanwhile is newer.
CREATE PROCEDURE fill_open_payments()
LANGUAGE plpgsql AS $$
DECLARE
    passed uuid := '00000000-0000-0000-0000-000000000000';
    last_of_part uuid;
BEGIN
    LOOP
        SELECT id INTO last_of_part FROM (
            SELECT id FROM payments WHERE id > passed ORDER BY id LIMIT 5000
        ) AS part
        ORDER BY id DESC LIMIT 1;
        EXIT WHEN NOT found;
        WITH held AS (
            SELECT id, tenant_id, status, due_at FROM payments
            WHERE
                id > passed AND id <= last_of_part
                AND (status <> 'completed' OR due_at IS NOT NULL)
            ORDER BY id
            FOR SHARE
        )
        INSERT INTO open_payments (payment_id, tenant_id, status, due_at)
        SELECT id, tenant_id, status, due_at FROM held
        ON CONFLICT DO NOTHING;
        passed := last_of_part;
        COMMIT;
    END LOOP;
END;
$$;
