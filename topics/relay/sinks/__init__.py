"""Where the relay publishes to: Kafka, and Redis Streams."""
