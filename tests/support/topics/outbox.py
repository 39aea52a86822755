"""Writes outbox rows as the store does, and says what a topic must then hold."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from store.ids import IdSource
from store.pool import AWAY
from tests.support.waiting import answered
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from topics.contracts.envelope import Message

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACESTATE = "congo=t61rcWkgMzE"

_INSERT = """
INSERT INTO outbox (
    id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, traceparent, tracestate,
    occurred_at, recorded_at
)
SELECT
    id, topic, key, 'payment.created', payload::json, 'default', sequence, $6, $7,
    clock_timestamp() + $8, clock_timestamp() + $8
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[])
    AS row (id, topic, key, sequence, payload)
"""


class Outbox:
    """One writer; its payments are its own, so that their rows are committed in order."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self.move()
        self._sequences: Counter[tuple[str, UUID]] = Counter()

    async def write(
        self, keys: Sequence[UUID], *, topic: str = EVENTS, rows_per_key: int = 1
    ) -> list[UUID]:
        """One transaction with the next rows of these payments; returns their ids."""
        drafts = [(self._ids(), key) for _ in range(rows_per_key) for key in keys]
        sequences = []
        for _, key in drafts:
            self._sequences[topic, key] += 1
            sequences.append(self._sequences[topic, key])
        ids = [id_ for id_, _ in drafts]
        await self._insert(
            ids,
            [topic] * len(drafts),
            [str(key) for _, key in drafts],
            sequences,
            [payload(id_) for id_ in ids],
            TRACEPARENT,
            TRACESTATE,
            self._ahead,
        )
        return ids

    async def _insert(self, ids: Sequence[UUID], *more: object) -> None:
        """Until it is known to be committed: a server that goes away may have done it."""

        async def insert() -> None:
            try:
                await self._pool.execute(_INSERT, ids, *more)
            except AWAY:
                if not await self._are_there(ids):
                    raise

        await answered(insert)

    async def _are_there(self, ids: Sequence[UUID]) -> bool:
        return bool(await self._fetch("SELECT FROM outbox WHERE id = any($1) LIMIT 1", ids))

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Of whichever server takes writes, once one does."""
        return await answered(lambda: self._pool.fetch(query, *arguments))

    async def write_many(self, rows: int, *, rows_per_transaction: int = 50) -> list[UUID]:
        """So many rows of new payments, a few of each payment in a transaction."""
        written: list[UUID] = []
        while len(written) < rows:
            keys = [uuid4() for _ in range(rows_per_transaction // 2)]
            written += await self.write(keys)
            written += await self.write(keys)
        return written

    def move(self, ahead: timedelta = timedelta()) -> None:
        """Go on as another host, whose clock is that far ahead."""
        self._ahead = ahead
        shift_ns = ahead // timedelta(microseconds=1) * 1000
        self._ids = IdSource(lambda: time.time_ns() + shift_ns, random.getrandbits)

    async def recount(self) -> None:
        """Go on behind what the table has, after it was restored."""
        rows = await self._fetch(
            "SELECT aggregatetype, aggregateid, max(sequence) FROM outbox GROUP BY 1, 2"
        )
        self._sequences = Counter({(topic, UUID(key)): last for topic, key, last in rows})

    async def ids(self, *topics: str) -> set[UUID]:
        """The ids the table holds for these topics."""
        rows = await self._fetch(
            "SELECT id FROM outbox WHERE aggregatetype = ANY($1)", list(topics or (EVENTS,))
        )
        return {row["id"] for row in rows}


@asynccontextmanager
async def slowly(connection: PoolConnectionProxy[asyncpg.Record]) -> AsyncIterator[Outbox]:
    """A writer whose rows are committed after the block, however long that takes."""
    async with connection.transaction():
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield Outbox(connection)  # type: ignore[arg-type]  # it only executes


def payload(event_id: UUID) -> str:
    """A payload that names its event, with spaces that must survive."""
    return json.dumps({"event_id": str(event_id), "amount_minor": 5000}, indent=1)


def assert_mirrors(messages: Iterable[Message], ids: set[UUID]) -> None:
    """Each id once, with its own bytes; each key's sequence 1, 2, 3 ... in order."""
    seen: Counter[UUID] = Counter()
    sequences: defaultdict[str, list[int | None]] = defaultdict(list)
    for message in messages:
        seen[message.id] += 1
        sequences[message.key].append(message.sequence)
        assert message.value == payload(message.id).encode()
    assert {id_: count for id_, count in seen.items() if count > 1} == {}
    missing = ids - seen.keys()
    assert not missing, f"{len(missing)} of {len(ids)} are not there"
    assert seen.keys() - ids == set()
    assert [key for key, got in sequences.items() if got != list(range(1, len(got) + 1))] == []


@asynccontextmanager
async def traffic(
    outbox: Outbox, *, rows: int, rows_per_transaction: int, pause_s: float
) -> AsyncIterator[None]:
    """So many rows every few moments, for as long as the block lasts."""
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await outbox.write_many(rows, rows_per_transaction=rows_per_transaction)
            await asyncio.sleep(pause_s)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        try:
            yield
        finally:
            stop.set()
