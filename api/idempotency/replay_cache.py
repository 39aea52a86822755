"""The first answers of the last 24 hours, in Redis, in front of Postgres, which has them all.

It only ever holds what Postgres has committed, with the fingerprint of the request it
answers, so it may be emptied or lost at any time: then Postgres answers.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

import orjson

from store.batched_redis import RedisAway
from store.write.group_commit import Answer, Idempotency, KeyReused

if TYPE_CHECKING:
    from store.batched_redis import BatchedRedis
    from telemetry.metrics import Metrics

RETENTION_SECONDS: Final = 86_400
_PREFIX: Final = b"payments:replay:"
# Fingerprint (SHA-256), status, length of the headers; then headers as JSON, then the body.
_HEAD: Final = struct.Struct(">32sHI")


class ReplayCache:
    """Looks up and keeps answers; without Redis it finds nothing and says so in a metric."""

    def __init__(self, redis: BatchedRedis, metrics: Metrics) -> None:
        self._redis = redis
        self._degraded = metrics.protection.redis_degraded.labels("idempotency_cache")

    async def first_answer(self, asked: Idempotency) -> Answer | None:
        """What this key's request was answered, if it is known here.

        Raises KeyReused when the key belongs to another request.
        """
        try:
            stored = await self._redis.ask("GET", _name(asked))
        except RedisAway:
            self._degraded.inc()
            return None
        if not isinstance(stored, bytes) or len(stored) < _HEAD.size:
            return None
        fingerprint, status, length = _HEAD.unpack_from(stored)
        if fingerprint != asked.fingerprint:
            raise KeyReused(f"the key {asked.key!r} was used for another request")
        body_at = _HEAD.size + length
        return Answer(status, orjson.loads(stored[_HEAD.size : body_at]), stored[body_at:])

    def keep(self, asked: Idempotency, answer: Answer) -> None:
        """Remember a committed answer that will not change, in the background."""
        if answer.provisional:
            return
        headers = orjson.dumps(dict(answer.headers))
        head = _HEAD.pack(asked.fingerprint, answer.status, len(headers))
        value = b"".join((head, headers, answer.body))
        if not self._redis.tell("SET", _name(asked), value, "EX", RETENTION_SECONDS):
            self._degraded.inc()


def _name(asked: Idempotency) -> bytes:
    """One name for one tenant and key; hashed, so that no two pairs meet in one name."""
    return _PREFIX + hashlib.sha256(f"{asked.tenant_id}\0{asked.key}".encode()).digest()
