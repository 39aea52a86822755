-- The breaks are found again by the next run; what people said of them is lost.

DROP TABLE reconciliation_breaks;
