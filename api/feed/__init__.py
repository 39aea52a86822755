"""The feed of events, over HTTP: for those who use neither Kafka nor webhooks."""
