-- The columns go with the migration before; what they say stays true until then.
SELECT 1;
