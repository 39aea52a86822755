"""The first answers of the last 24 hours, in Redis, in front of Postgres, which has them all.

It only ever holds what Postgres has committed and will not change, with the fingerprint of the
request it answers, so it may be emptied or lost at any time: then Postgres answers. Names bear
which database that was; while nobody knows which one there is, the cache holds nothing.

Asked is only for a key that this process has seen lately. Every other request is as good as
certainly the first with its key, and if it is not, the commit finds the answer: it looks there
anyway.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

import orjson

from api.idempotency.recent_keys import RecentKeys
from store.batched_redis import RedisAway
from store.write.group_commit import Answer, Idempotency, KeyReused

if TYPE_CHECKING:
    from api.idempotency.known_database import KnownDatabase
    from store.batched_redis import BatchedRedis
    from telemetry.metrics import Metrics

RETENTION_SECONDS: Final = 86_400
_PREFIX: Final = b"payments:replay:"
# Fingerprint (SHA-256), status, length of the headers; then headers as JSON, then the body.
_HEAD: Final = struct.Struct(">32sHI")


class ReplayCache:
    """Looks up and keeps answers; without Redis it finds nothing and says so in a metric."""

    def __init__(self, redis: BatchedRedis, database: KnownDatabase, metrics: Metrics) -> None:
        self._redis = redis
        self._database = database
        self._recent = RecentKeys()
        self._degraded = metrics.protection.redis_degraded.labels("idempotency_cache")

    async def first_answer(self, asked: Idempotency) -> Answer | None:
        """What this key's request was answered, if it is known here.

        Raises KeyReused when the key belongs to another request.
        """
        if not self._recent.seen(asked.tenant_id, asked.key):
            return None
        name = self._name(asked)
        if name is None:
            return None
        try:
            stored = await self._redis.ask("GET", name)
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
        name = self._name(asked)
        if name is None or answer.provisional:
            return
        headers = orjson.dumps(dict(answer.headers))
        head = _HEAD.pack(asked.fingerprint, answer.status, len(headers))
        value = b"".join((head, headers, answer.body))
        if not self._redis.tell("SET", name, value, "EX", RETENTION_SECONDS):
            self._degraded.inc()

    def _name(self, asked: Idempotency) -> bytes | None:
        """One name for one key of one tenant in one database, if it is known which that is."""
        database = self._database.identity
        if database is None:
            return None
        # Hashed, so that no two of them meet in one name.
        whose = f"{asked.tenant_id}\0{asked.key}".encode()
        return _PREFIX + hashlib.sha256(database + b"\0" + whose).digest()
