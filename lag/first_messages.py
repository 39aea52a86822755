"""What is really there at a group's position: its first message, or nothing but markers.

The end of a transaction takes an offset that no consumer ever receives, and so does what was
aborted. A group behind such has done all there is, though its offset is not the end. So it is
read from its position on, committed messages only, until the first of them or the end; what was
found is remembered. Reading takes a bounded time: what nobody could look at in it is not known.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError

from lag.broker import CLIENT_ID, REQUEST_TIMEOUT_MS
from topics import kafka

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import TopicPartition

    from process.addresses import KafkaAddress

# The first message of a partition is wanted, not the rest; a producer's batch is 16 KiB.
_FETCH_BYTES_MAX: Final = 64 * 1024
# What moves a position without a message wakes nobody: so often it is looked at.
_LOOK_EVERY_MS: Final = 20


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group stands in a partition that ends at `end`."""

    at: TopicPartition
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class First:
    """The first message from a position on, produced at `seconds` since 1970.

    `seconds` is None where there is none, and `offset` then the end that was looked up to.
    """

    offset: int
    seconds: float | None


class FirstMessages:
    """Looks at positions, and remembers what it saw."""

    def __init__(self, address: KafkaAddress, read_seconds_max: float) -> None:
        self._address = address
        self._read_seconds_max = read_seconds_max
        self._reader: AIOKafkaConsumer | None = None
        self._seen: dict[tuple[TopicPartition, int], First] = {}

    async def close(self) -> None:
        """Drop the connection; what is looked at next opens another."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def of(self, positions: Collection[Position]) -> dict[tuple[TopicPartition, int], First]:
        """By partition and offset; left out is what could not be looked at in time."""
        places = {(each.at, each.offset) for each in positions}
        self._seen = {place: self._seen[place] for place in places if place in self._seen}
        missing = [each for each in positions if self._is_unseen(each)]
        if missing:
            await self._look(missing, await self._connected())
        return {
            (each.at, each.offset): self._seen[each.at, each.offset]
            for each in positions
            if not self._is_unseen(each)
        }

    def _is_unseen(self, position: Position) -> bool:
        seen = self._seen.get((position.at, position.offset))
        return seen is None or (seen.seconds is None and seen.offset < position.end)

    async def _look(self, missing: Iterable[Position], reader: AIOKafkaConsumer) -> None:
        """At one position of each partition at a time, for a reader has no more."""
        deadline = asyncio.get_running_loop().time() + self._read_seconds_max
        waiting = list(dict.fromkeys(missing))
        while waiting:
            now = {each.at: each for each in reversed(waiting)}
            waiting = [each for each in waiting if now[each.at] is not each]
            # One that cannot be read must not hide every lag.
            with suppress(KafkaError, TimeoutError):
                await self._read(reader, now, deadline)
            reader.unsubscribe()

    async def _read(
        self, reader: AIOKafkaConsumer, wanted: Mapping[TopicPartition, Position], deadline: float
    ) -> None:
        reader.assign(list(wanted))
        for at, position in wanted.items():
            reader.seek(at, position.offset)
        left, loop = dict(wanted), asyncio.get_running_loop()
        while left and loop.time() < deadline:
            for at, messages in (await reader.getmany(timeout_ms=_LOOK_EVERY_MS)).items():
                if at in left:
                    found = First(messages[0].offset, messages[0].timestamp / 1000)
                    self._seen[at, left.pop(at).offset] = found
                    reader.pause(at)
            for at, position in [*left.items()]:
                async with asyncio.timeout_at(deadline):
                    reached = await reader.position(at)
                if reached >= position.end:
                    self._seen[at, position.offset] = First(reached, None)
                    del left[at]

    async def _connected(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = kafka.consumer(
                self._address,
                CLIENT_ID,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            )
            await reader.start()
            self._reader = reader
        return self._reader
