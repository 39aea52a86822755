"""The relay: publishes every committed outbox row, once and in order, to Kafka or Redis Streams."""
