-- A notification that is sent again is then taken again, which is harmless.

DROP TABLE provider_events;
