-- Who did what by hand is forgotten; the letters keep who closed them.

DROP TABLE operator_actions;

DROP FUNCTION operator_actions_refuse_change();
