-- The listing falls back to the tenant's index.

DROP INDEX payments_by_destination;
