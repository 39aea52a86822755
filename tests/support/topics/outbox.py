"""Writes outbox rows as the store does, and says what a topic must then hold."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from store.ids import IdSource
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from topics.contracts.envelope import Message

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

_INSERT = """
INSERT INTO outbox
SELECT
    id, topic, key, 'payment.created', payload::json, 'default', sequence, NULL, $6,
    clock_timestamp(), clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[])
    AS row (id, topic, key, sequence, payload)
"""


class Outbox:
    """One writer; its payments are its own, so that their rows are committed in order."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._ids = IdSource(time.time_ns, random.getrandbits)
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
        await self._pool.execute(
            _INSERT,
            [id_ for id_, _ in drafts],
            [topic] * len(drafts),
            [str(key) for _, key in drafts],
            sequences,
            [payload(id_) for id_, _ in drafts],
            TRACEPARENT,
        )
        return [id_ for id_, _ in drafts]

    async def write_many(self, rows: int, *, rows_per_transaction: int = 50) -> list[UUID]:
        """So many rows of new payments, a few of each payment in a transaction."""
        written: list[UUID] = []
        while len(written) < rows:
            keys = [uuid4() for _ in range(rows_per_transaction // 2)]
            written += await self.write(keys)
            written += await self.write(keys)
        return written

    async def ids(self, *topics: str) -> set[UUID]:
        """The ids the table holds for these topics."""
        rows = await self._pool.fetch(
            "SELECT id FROM outbox WHERE aggregatetype = ANY($1)", list(topics or (EVENTS,))
        )
        return {row["id"] for row in rows}


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
    assert ids - seen.keys() == set()
    assert seen.keys() - ids == set()
    assert [key for key, got in sequences.items() if got != list(range(1, len(got) + 1))] == []
