-- Who did what by hand is forgotten; the letters keep who closed them.

DROP TABLE operator_actions;
