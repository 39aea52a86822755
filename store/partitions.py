"""Tables in partitions by time: which they are, and DDL on them that nobody waits for.

No statement here waits for a lock for more than a tenth of a second, because whoever writes would
wait behind it; one that would have to is refused, and who is in its way is named.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg

from store.queries import bound, query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Rows of a time that goes on which are moved while the default partition is locked: some tenth
# of a second.
_MOVED_MAX: Final = 5_000
# Of a move of a whole day that is over; no statement of a client is meant.
_LONG_S: Final = 1800.0
_TRIES: Final = 3
_AGAIN_AFTER_S: Final = 0.2
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Holder:
    """A session whose transaction is in the way: it has locked `tables` since then."""

    pid: int
    application: str
    since: datetime | None
    tables: str

    def __str__(self) -> str:
        since = f" since {self.since:%H:%M:%S}" if self.since else ""
        return f"pid {self.pid} ({self.application}) holds {self.tables}{since}"


class InTheWay(Exception):
    """Somebody's long transaction holds what a step would have to lock; nobody was made to wait."""

    def __init__(self, holders: Sequence[Holder]) -> None:
        super().__init__("; ".join(map(str, holders)) or "a lock was not to be had in 100 ms")
        self.holders = holders


@dataclass(frozen=True, slots=True)
class Days:
    """A partition a day."""

    def first_of(self, day: date) -> date:
        """Of the partition that has this day."""
        return day

    def next_after(self, first: date) -> date:
        return first + _DAY


@dataclass(frozen=True, slots=True)
class Months:
    """A partition a month."""

    def first_of(self, day: date) -> date:
        return day.replace(day=1)

    def next_after(self, first: date) -> date:
        return (first.replace(day=28) + 4 * _DAY).replace(day=1)


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A table and how it is divided: its partitions are `<name>_pYYYYMMDD`, and a default one."""

    name: str
    period: Days | Months

    @property
    def default(self) -> str:
        return f"{self.name}_default"

    def begins(self, partition: str) -> date | None:
        """The first day of a partition of this name; None for the default and for the first."""
        try:
            return date.fromisoformat(partition.removeprefix(f"{self.name}_p"))
        except ValueError:
            return None

    def called(self, first: date) -> str:
        """The name of the partition that begins then."""
        return f"{self.name}_p{first:%Y%m%d}"

    def periods(self, since: date, until: date) -> Iterator[date]:
        """The first days of all partitions that have a day of these, both included."""
        first = self.period.first_of(since)
        while first <= until:
            yield first
            first = self.period.next_after(first)


OUTBOX: Final = Partitioned("outbox", Days())
# By the time the payment was made, which its id tells: each payment's history is in one partition.
HISTORY: Final = (Partitioned("payment_events", Months()), Partitioned("attempts", Months()))


async def partitions(pool: asyncpg.Pool[asyncpg.Record], of: Partitioned) -> list[str]:
    """The names of all there are."""
    rows = await pool.fetch(*bound("partitions_of", parent=of.name))
    return [row["name"] for row in rows]


async def make_partition(pool: asyncpg.Pool[asyncpg.Record], of: Partitioned, first: date) -> None:
    """Make the one that begins then, with what the default partition has of it.

    Raises InTheWay, and what asyncpg raises.
    """
    first_at = datetime.combine(first, time(), UTC)
    end_at = datetime.combine(of.period.next_after(first), time(), UTC)
    made = bound(
        "make_partition", parent=of.name, first_at=first_at, end_at=end_at, rows_max=_MOVED_MAX
    )
    await alone(pool, [made], [of.default])


async def drop_outbox_day(
    pool: asyncpg.Pool[asyncpg.Record], partition: str, kept_since: datetime
) -> None:
    """Drop a day with all that is in it, unless some of it was written after `kept_since`.

    Raises InTheWay, and what asyncpg raises: also where a sink that is known lacks some of it.
    """
    dropped = bound("drop_outbox_day", dropped=partition, kept_since=kept_since)
    await alone(pool, [dropped], [OUTBOX.name, OUTBOX.default, partition])


async def alone(
    pool: asyncpg.Pool[asyncpg.Record],
    statements: Sequence[tuple[str, *tuple[object, ...]]],
    locked: Sequence[str],
) -> bool:
    """Run DDL that locks those tables, in one transaction; False if another does this already.

    Raises InTheWay if somebody has the tables for long, having made nobody wait.
    """
    async with pool.acquire() as connection:
        left = _TRIES
        while True:
            if in_the_way := await holders(connection, locked):
                raise InTheWay(in_the_way)
            try:
                return await _run_alone(connection, statements)
            except asyncpg.LockNotAvailableError as error:
                left -= 1
                if not left:
                    raise InTheWay(await holders(connection, locked)) from error
            # Nobody has had them for long: it was one of those who come and go.
            await asyncio.sleep(_AGAIN_AFTER_S)


async def _run_alone(
    connection: asyncpg.pool.PoolConnectionProxy,
    statements: Sequence[tuple[str, *tuple[object, ...]]],
) -> bool:
    async with connection.transaction():
        await connection.execute(query("limit_housekeeping"))
        if not await connection.fetchval(query("alone_in_housekeeping")):
            return False
        for statement in statements:
            await connection.execute(*statement, timeout=_LONG_S)
    return True


async def holders(
    connection: asyncpg.pool.PoolConnectionProxy, tables: Sequence[str]
) -> list[Holder]:
    """Whose transaction has had one of these for a second."""
    rows = await connection.fetch(*bound("holders_of_tables", tables=list(tables)))
    return [Holder(**row) for row in rows]
