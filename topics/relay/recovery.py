"""Makes the sink equal to the outbox before the WAL is followed, so that a replay adds nothing.

Every stream begins here, at the start of the process and after every failure. The slot is held,
so nobody else publishes. The sink says what it has of a recent window, one snapshot of the table
says what it should have, and what is missing is published in the order of the ids. What the
snapshot saw is skipped when the WAL repeats it; what it did not see comes by the WAL alone. Why
this loses and repeats nothing is argued in docs/decisions/0009.
"""

import contextlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from topics.contracts.envelope import OutboxRow, unix_ms
from topics.names import TOPICS
from topics.relay.pgoutput import Begin
from topics.relay.publisher import Publisher, RelayFigures
from topics.relay.sinks.sink import OutgoingMessage, PresentMessages, Session
from topics.relay.slot import OutboxTable, Position, Postgres
from topics.relay.snapshot import TransactionSnapshot
from topics.relay.source import WalStream

log = structlog.get_logger()

# Nothing confirmed says how far a slot that was just made lies behind what was published, so the
# look back is as long as a relay may have stood before one stuck partition.
_NEW_SLOT_WINDOW_MS: Final = 3_600_000

_RETENTION_MS: Final = {
    topic.name: topic.retention // timedelta(milliseconds=1) for topic in TOPICS
}

# Ids carry the time of the process that made them, transactions that of Postgres.
_CLOCKS_DIFFER_MS: Final = 5_000
_LAST_ID: Final = b"ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True)
class Covered:
    """What need not be published when the WAL brings it.

    The table was compared from each topic's `since_ms` up to the id `until`: those rows are in
    the sink if the snapshot saw their transaction. Rows that were not compared, because they come
    by the WAL anyway or are older than the comparison or their partition was dropped, are in the
    sink if their id is `present`.
    """

    snapshot: TransactionSnapshot
    since_ms: Mapping[bytes, int]
    until: bytes
    present: AbstractSet[bytes]

    def ended_by(self, begin: Begin) -> bool:
        """Whether this transaction, and so all after it, are beyond the snapshot."""
        return begin.commit_lsn > self.snapshot.lsn

    def has(self, row: OutboxRow, *, is_seen: bool) -> bool:
        """Whether the sink has a row, whose transaction the snapshot saw or did not see."""
        if row.id in self.present:
            return True
        if not is_seen or row.id >= self.until:
            return False
        since = self.since_ms.get(row.aggregatetype)
        return since is not None and unix_ms(row.recorded_at) >= since


@dataclass(frozen=True, slots=True)
class _ComparedWindow:
    """What of the table is compared: times in milliseconds since 1970, and an id."""

    since_ms: Mapping[str, int]
    until: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRecovery:
    """The parts of one stream that a recovery needs."""

    postgres: Postgres
    wal: WalStream
    session: Session
    publisher: Publisher
    figures: RelayFigures
    window_ms: int

    async def run(self, position: Position, *, is_new_slot: bool) -> Covered:
        """Publish what the sink lacks; returns what the WAL need not bring again."""
        window = await self._window(position, is_new_slot=is_new_slot)
        present = await self.session.present(window.since_ms)
        async with self.postgres.snapshot() as table:
            refilled = await self._refill(table, present, window.until)
            oldest_ms = table.oldest_ms
        log.info(
            "the sink was compared with the table", present=len(present.ids), refilled=refilled
        )
        since_ms = (
            {}
            if oldest_ms is None
            else {topic.encode(): max(since, oldest_ms) for topic, since in window.since_ms.items()}
        )
        return Covered(table.visible, since_ms, window.until, present.ids)

    async def _window(self, position: Position, *, is_new_slot: bool) -> _ComparedWindow:
        """What must be compared.

        A row the sink lacks was either never confirmed, so it was committed no earlier than the
        first transaction waiting in the slot; or the sink lost its end, so it is newer than what
        is left. The window allows for what was in flight together, and for clocks that differ.
        A topic that never had a message is compared from its beginning, as far as the retention
        goes: what is older may have left the topic on purpose. What comes by the WAL anyway is
        left to it.
        """
        first = await self.wal.first_begin(position.lsn)
        if first is None:
            unconfirmed_ms, until = position.now_ms, _LAST_ID
        else:
            unconfirmed_ms = int(first.committed_at * 1000)
            until = _first_id_at(unconfirmed_ms + _CLOCKS_DIFFER_MS)
        window_ms = _NEW_SLOT_WINDOW_MS if is_new_slot else self.window_ms
        since_ms = {
            topic: max(
                0 if newest_ms is None else min(newest_ms, unconfirmed_ms) - window_ms,
                position.now_ms - _RETENTION_MS[topic],
            )
            for topic, newest_ms in (await self.session.newest_ms()).items()
        }
        return _ComparedWindow(since_ms, until)

    async def _refill(self, table: OutboxTable, present: PresentMessages, until: bytes) -> int:
        """Publish the rows that are not present; returns how many.

        Rows in flight together were recorded within half a window of each other, so that a
        refill cut short leaves no gap older than the window the next one looks back.
        """
        refilled = 0
        async with contextlib.aclosing(table.rows(present.complete_since_ms, until)) as pages:
            async for page in pages:
                batch: list[OutboxRow] = []
                for row in page:
                    if row.id in present.ids:
                        continue
                    if batch and self._is_far(batch[0], row):
                        refilled += await self._publish(batch)
                        batch = []
                    batch.append(row)
                refilled += await self._publish(batch)
        return refilled

    def _is_far(self, row: OutboxRow, other: OutboxRow) -> bool:
        return abs(unix_ms(other.recorded_at) - unix_ms(row.recorded_at)) > self.window_ms // 2

    async def _publish(self, rows: list[OutboxRow]) -> int:
        if not rows:
            return 0
        transaction = self.publisher.begin(None, 0.0)
        for index, row in enumerate(rows):
            self.publisher.publish(self.session, OutgoingMessage(row, transaction, index))
        self.publisher.end(transaction, 0)
        self.session.flush()
        await self.publisher.room(1)
        self.figures.refilled.inc(len(rows))
        return len(rows)


def _first_id_at(unix_ms: int) -> bytes:
    """The smallest UUIDv7 of a millisecond, as Postgres writes it."""
    digits = f"{unix_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000".encode()
