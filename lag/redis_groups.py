"""Lag of the consumer groups on Redis Streams.

Entry ids are WAL positions there, not times, so an age is read from the entry itself:
its `ce_time` field (CloudEvents). Groups and entries may be anybody's, so their names and fields
are bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from lag.foreign import shown
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
        self._redis = client(targets.redis, timeout_s=_TIMEOUT_SECONDS)

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
        group, last, lag = found["name"], found["last-delivered-id"], found.get("lag")
        assert isinstance(group, bytes), "a client that decodes nothing gets bytes"
        assert isinstance(last, bytes), "likewise"
        pending, messages = _whole(found["pending"]), None if lag is None else _whole(lag)
        oldest = None
        if pending:
            summary = await self._redis.xpending(stream, group)
            oldest = summary["min"]
        elif messages != 0:
            # "(" excludes the id itself: what comes after the last one delivered.
            oldest = b"(" + last
        return RedisGroupLag(
            stream=stream,
            group=shown(group),
            consumers=_whole(found["consumers"]),
            messages=messages,
            pending=pending,
            seconds=0.0 if oldest is None else await self._age(stream, oldest, now),
        )

    async def _age(self, stream: str, from_id: bytes, now: float) -> float | None:
        entries = await self._redis.xrange(stream, min=from_id, count=1)
        if not entries:
            return 0.0
        _, fields = entries[0]
        try:
            stamp = (fields or {})[b"ce_time"]
            assert isinstance(stamp, bytes), "likewise"
            occurred_at = datetime.fromisoformat(stamp.decode()).timestamp()
        # Deleted, or not an event of ours: an entry without a time, or with one beyond all clocks.
        except (KeyError, ValueError, OverflowError):
            return None
        return age_seconds(occurred_at, now)


def _whole(value: object) -> int:
    assert isinstance(value, int), "Redis counts"
    return value
