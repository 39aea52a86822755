DROP TABLE webhook_replays;
DROP TABLE webhook_attempts;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_events;
DROP TABLE webhook_endpoint_failures;
DROP TABLE webhook_endpoints;
