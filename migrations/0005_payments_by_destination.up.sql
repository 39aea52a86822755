-- Listing an account's payments finds those it receives as fast as those it makes.

CREATE INDEX payments_by_destination ON payments (destination_account_id, id DESC)
WHERE destination_account_id IS NOT NULL;
