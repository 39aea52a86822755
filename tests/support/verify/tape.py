"""What a relay would have published of a database's outbox, as messages to tamper with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topics.contracts.envelope import EnvelopeError, OutboxRow, from_kafka, headers_of
from verify.topics import Coverage, Published

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

Header = tuple[str, bytes]


class Tape:
    """A log that holds exactly what it was given, in that order."""

    def __init__(self, messages: list[Published], name: str = "kafka") -> None:
        self.messages = messages
        self.name = name

    async def read(self, topic: str, coverage: Coverage) -> AsyncIterator[Published]:  # noqa: ARG002 - nothing was ever deleted from a tape
        for each in self.messages:
            if each.topic == topic:
                yield each


async def outbox_rows(pool: asyncpg.Pool[asyncpg.Record]) -> list[OutboxRow]:
    """The rows in the order in which one writer made them, as a replication stream has them."""
    rows = await pool.fetch(
        "SELECT id::text, aggregatetype, aggregateid, type, payload::text, tenant_id, "
        "sequence::text, causationid::text, traceparent, occurred_at::text, recorded_at::text, "
        "position::text, tracestate "
        "FROM outbox ORDER BY id"
    )
    return [OutboxRow._make(each and each.encode() for each in row) for row in rows]


def published(row: OutboxRow) -> Published:
    return read_back(
        row.aggregatetype.decode(), row.aggregateid, row.payload, headers_of(row, None)
    )


def read_back(topic: str, key: bytes, value: bytes, headers: list[Header]) -> Published:
    """As a log hands on what it reads."""
    try:
        message = from_kafka(topic, key, value, headers)
    except EnvelopeError as error:
        return Published(topic, f"{topic}/0@0", value, None, str(error))
    return Published(topic, f"{topic}/0@0", value, message)
