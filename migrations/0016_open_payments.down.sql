DROP PROCEDURE fill_open_payments();
DROP FUNCTION follow_payments();
DROP TABLE open_payments;
