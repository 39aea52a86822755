"""Relays over every sink: a test that asks for `relays` runs over Kafka and over Redis."""

from tests.support.topics.fixtures import (
    destination,
    kafka,
    migrated_pair,
    outbox,
    redis_streams,
    relays,
)

__all__ = ["destination", "kafka", "migrated_pair", "outbox", "redis_streams", "relays"]
