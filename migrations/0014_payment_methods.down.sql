-- Which methods belong to whom is forgotten; payments name theirs in their metadata alone.

DROP TABLE payment_methods;

ALTER TABLE payments
DROP COLUMN customer_reference,
DROP COLUMN payment_method;
