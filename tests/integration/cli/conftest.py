"""Relays over every sink, and books to export."""

from tests.support.store.fixtures import books
from tests.support.topics.fixtures import destination, kafka, outbox, redis_streams, relays

__all__ = ["books", "destination", "kafka", "outbox", "redis_streams", "relays"]
