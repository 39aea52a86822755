"""How a stream begins: what the sink has already, and what it lacks that the WAL will not bring.

Every stream begins here, at the start of the process and after every failure. The slot is held
and the sink has no other writer. Checkpoints say what is certain of each partition (see
`positions`); the ids of what lies behind that are read back. Then the WAL brings the rest, and
what is there already is left out. The table is read only for a partition that has lost something,
or when a slot was made anew: page by page, in the order of the positions. Why this loses and
repeats nothing is argued in docs/decisions/0031.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import structlog

from topics.contracts.envelope import OutboxRow
from topics.relay.failures import SourceFailure
from topics.relay.pause import Pause
from topics.relay.pgoutput import Begin
from topics.relay.positions import NO_FLOOR, Checkpoint, Partition, Plan, planned
from topics.relay.publisher import Publisher, RelayFigures
from topics.relay.sinks.sink import OutgoingMessage, Session, outgoing
from topics.relay.slot import Claim, Postgres

log = structlog.get_logger()

_NO_ID: Final = b"00000000-0000-0000-0000-000000000000"
_ROWS_PER_PAGE: Final = (32, 2_000)
_BYTES_PER_PAGE: Final = 8 * 1024 * 1024
# Transactions that write to the outbox take milliseconds.
_LOOK_AGAIN_SECONDS: Final = 0.05
_LOOKS_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What need not be published when the WAL brings it.

    Of each partition every row up to its floor is there, none of which is above `floor_max`, and
    what was read back. Nothing of that was committed behind `until`.
    """

    until: int
    floors: Mapping[Partition, int]
    floor_max: int
    present: AbstractSet[bytes]

    def ended_by(self, begin: Begin) -> bool:
        """Whether this transaction, and so all after it, are beyond what is covered."""
        return begin.commit_lsn is not None and begin.commit_lsn > self.until

    def lacking(
        self,
        messages: Sequence[OutgoingMessage],
        partition_of: Callable[[OutboxRow], Partition],
    ) -> list[OutgoingMessage]:
        """Those that the sink lacks; where a row belongs is asked if it matters."""
        floors, floor_max, present = self.floors, self.floor_max, self.present
        return [
            message
            for message in messages
            if message.row.id not in present
            and (
                (position := position_of(message.row)) > floor_max
                or position > floors[partition_of(message.row)]
            )
        ]


def position_of(row: OutboxRow) -> int:
    """Rows from before there were positions come before all others."""
    return 0 if row.position is None else int(row.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRecovery:
    """The parts of one stream that a recovery needs."""

    postgres: Postgres
    session: Session
    publisher: Publisher
    figures: RelayFigures
    claim: Claim
    pause: Pause
    checkpoints: Sequence[Checkpoint]
    by_position: bool
    keeps: int | None

    async def run(self) -> tuple[Plan, Covered]:
        """Publish what only the table has; returns what the WAL need not bring again.

        Nothing is published while an operator has it paused, or asked for that before it began.
        """
        await self.pause.look()
        plan = planned(
            self.checkpoints,
            self.session.extents,
            has_gap=self.claim.has_gap,
            by_position=self.by_position,
        )
        # Before anything is sent: then a partition may end where it did before it lost something.
        await self.postgres.strike(self.claim.sink, plan.false_marks)
        present = await self.session.present(
            {at: base.read_back for at, base in plan.bases.items()}
        )
        await self.pause.aside.load(self.postgres, present)
        floors = {at: base.floor for at, base in plan.bases.items()}
        filled = 0
        if plan.lacking:
            # Rows with a greater position are committed from here on, and come by the WAL.
            until = await self._settled()
            filled = await self._fill(plan, present, until)
            floors |= dict.fromkeys(plan.lacking, until)
        log.info("the sink is what it should be", read_back=len(present), filled=filled)
        until_lsn = await self.postgres.wal_end()
        floor_max = max(floors.values())
        return plan, Covered(until=until_lsn, floors=floors, floor_max=floor_max, present=present)

    async def _settled(self) -> int:
        """A position up to which every row is committed by now, or never will be.

        Raises `SourceFailure` that names who has been writing for too long.
        """
        drawn = await self.postgres.drawn_position()
        begun_before = (await self.postgres.transactions()).newest
        for _ in range(_LOOKS_MAX):
            if (await self.postgres.transactions()).xmin >= begun_before:
                return drawn
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise SourceFailure(f"{await self.postgres.oldest_writer()} may still write rows")

    async def _fill(self, plan: Plan, present: AbstractSet[bytes], until: int) -> int:
        """Publish what the lacking partitions lack up to a position; how many rows."""
        topics = {at.topic for at in plan.lacking}
        floor = min(plan.bases[at].floor for at in plan.lacking)
        filled = 0
        if floor == NO_FLOOR:
            filled += await self._fill_without_positions(plan, topics, present)
            floor = await self._kept_from(topics)
        rows_max = next_page([])
        while page := await self.postgres.page(topics, floor, until, rows_max):
            filled += await self._publish(plan, page, present)
            floor = position_of(page[-1])
            rows_max = next_page(page)
        return filled

    async def _fill_without_positions(
        self,
        plan: Plan,
        topics: Collection[str],
        present: AbstractSet[bytes],
    ) -> int:
        filled, behind, rows_max = 0, _NO_ID, next_page([])
        while page := await self.postgres.page_without_positions(topics, behind, rows_max):
            filled += await self._publish(plan, page, present)
            behind = page[-1].id
            rows_max = next_page(page)
        return filled

    async def _kept_from(self, topics: Collection[str]) -> int:
        """Behind which position a sink that keeps only the newest would keep anything."""
        if self.keeps is None:
            return 0
        newest = [await self.postgres.newest(topic, self.keeps) for topic in topics]
        return min((position or 0 for position in newest), default=0)

    async def _publish(
        self,
        plan: Plan,
        page: list[OutboxRow],
        present: AbstractSet[bytes],
    ) -> int:
        rows = [
            row
            for row in page
            if row.id not in present
            and (at := self.session.partition_of(row)) in plan.lacking
            and position_of(row) > plan.bases[at].floor
        ]
        if not rows:
            return 0
        await self.pause.passed()
        transaction = self.publisher.begin(None, 0.0)
        self.publisher.publish(self.session, transaction, outgoing(rows, transaction))
        self.publisher.end(transaction, 0)
        self.session.flush()
        while self.publisher.rows_in_flight:
            # Of what the sink refuses, nothing is answered before it is kept.
            await self.pause.aside.keep(self.postgres, self.publisher, self.session)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self.publisher.emptied()
        self.figures.refilled.inc(len(rows))
        return len(rows)


def next_page(page: list[OutboxRow]) -> int:
    """How many rows like these make a page; of those of which nothing is known, few."""
    fewest, most = _ROWS_PER_PAGE
    if not page:
        return fewest
    size = sum(len(row.payload) for row in page)
    return max(fewest, min(most, _BYTES_PER_PAGE * len(page) // max(size, 1)))
