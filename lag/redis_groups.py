"""Lag of the consumer groups on Redis Streams.

Entry ids are WAL positions there, not times, so an age is read from the entry itself:
its `ce_time` field (CloudEvents).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from lag.history import age_seconds
from lag.report import RedisGroupLag
from store.redis import client

if TYPE_CHECKING:
    from lag.targets import LagTargets

_TIMEOUT_SECONDS: Final = 2.0


class RedisGroups:
    """The groups on our streams; a stream that does not exist yet has none."""

    def __init__(self, targets: LagTargets) -> None:
        self._streams = targets.redis_streams
        self._redis = client(targets.redis, timeout_s=_TIMEOUT_SECONDS, decode_responses=True)

    async def measure(self, now: float) -> tuple[RedisGroupLag, ...]:
        groups = [
            await self._lag(stream, found, now)
            for stream in self._streams
            for found in await self._groups_of(stream)
        ]
        return tuple(groups)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _groups_of(self, stream: str) -> list[dict[str, object]]:
        try:
            return list(await self._redis.xinfo_groups(stream))
        except ResponseError as error:
            if "no such key" in str(error):
                return []
            raise

    async def _lag(self, stream: str, found: dict[str, object], now: float) -> RedisGroupLag:
        group, lag = str(found["name"]), found.get("lag")
        pending, messages = _whole(found["pending"]), None if lag is None else _whole(lag)
        oldest = None
        if pending:
            summary = await self._redis.xpending(stream, group)
            oldest = str(summary["min"])
        elif messages != 0:
            # "(" excludes the id itself: what comes after the last one delivered.
            oldest = f"({found['last-delivered-id']}"
        return RedisGroupLag(
            stream=stream,
            group=group,
            consumers=_whole(found["consumers"]),
            messages=messages,
            pending=pending,
            seconds=0.0 if oldest is None else await self._age(stream, oldest, now),
        )

    async def _age(self, stream: str, from_id: str, now: float) -> float | None:
        entries = await self._redis.xrange(stream, min=from_id, count=1)
        if not entries:
            return 0.0
        _, fields = entries[0]
        try:
            occurred_at = datetime.fromisoformat(str((fields or {})["ce_time"]))
        except (KeyError, ValueError):  # deleted, or not an event of ours: an entry without a time
            return None
        return age_seconds(occurred_at.timestamp(), now)


def _whole(value: object) -> int:
    return int(str(value))
