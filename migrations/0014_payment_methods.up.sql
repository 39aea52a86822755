-- A customer's payment methods belong to an account, and a payment keeps which was chosen.
-- A release from before goes on accepting payments without looking at methods; the stages of
-- this one charge what such a payment's metadata names, as that release did.

ALTER TABLE payments
ADD COLUMN payment_method text,
ADD COLUMN customer_reference text;

CREATE TABLE payment_methods (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts (id),
    provider text NOT NULL,
    reference text NOT NULL, -- the provider's name for it
    customer_reference text, -- the provider's name for whose it is, if it has one
    state text NOT NULL CHECK (state IN ('active', 'detached')),
    version integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- One payer's method belongs to one account, whichever tenant it is of.
CREATE UNIQUE INDEX payment_methods_active ON payment_methods (provider, reference)
WHERE state = 'active';
CREATE INDEX payment_methods_by_account ON payment_methods (account_id, id DESC);
