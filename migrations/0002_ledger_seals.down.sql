-- The seals go; whoever wants to keep what they prove exports the journal first.

DROP TABLE ledger_seals;
DROP FUNCTION ledger_seals_refuse_change;
