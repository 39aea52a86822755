"""What has been kept long enough is forgotten, and room is made for the days to come.

Each step stands by itself: one that is refused ends and hides no other, and is told with its
cause and with whoever is in its way. No step waits for a lock for more than a tenth of a second,
because whoever writes would wait behind it; one that would have to is left for the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from store.pool import AWAY
from store.queries import bound, query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

# Days of partitions made ahead: an empty one costs nothing, and a schedule that is down for days
# is noticed before.
_PARTITIONS_AHEAD: Final = 7
# Rows of a day that still grows which are moved while the default partition is locked: some tenth
# of a second.
_MOVED_MAX: Final = 5_000
# Days that rows of wrong clocks may open in one turn.
_STRAY_DAYS_MAX: Final = 31
# Vendors send a notification again for three days, and later on an operator's word.
_EVENTS_KEPT: Final = timedelta(days=30)
# Published to clients: a key may be retried for so long (API contract, Idempotency-Key).
_KEYS_KEPT: Final = timedelta(days=30)
_FORGET_MAX: Final = 10_000
# Of a move of a whole day that is over; no statement of a client is meant.
_LONG_S: Final = 1800.0

_Thing = TypeVar("_Thing")

_OUTBOX: Final = "outbox"
_CAUGHT: Final = "outbox_default"
_NAME: Final = "outbox_p%Y%m%d"


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
class Kept:
    """What became of a step: `refusal` says what was in the way of some of it, or of all."""

    step: str
    refusal: str | None


async def keep_house(
    pool: asyncpg.Pool[asyncpg.Record], now: datetime, outbox_retention_s: float
) -> list[Kept]:
    """Make the next days' outbox partitions, empty the default one, drop and forget what is old."""
    rooms = _Rooms(pool, now)
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "make_partitions": rooms.make_ahead,
        "move_stray_rows": rooms.move_strays,
        # A partition goes when its last row has been kept for the whole retention.
        "drop_partitions": partial(
            rooms.drop_before, (now - timedelta(seconds=outbox_retention_s, days=1)).date()
        ),
        "forget_idempotency_keys": partial(
            _forget, pool, "forget_idempotency_keys", now - _KEYS_KEPT
        ),
        "forget_provider_events": partial(
            _forget, pool, "forget_provider_events", now - _EVENTS_KEPT
        ),
        "forget_provider_states": partial(_run, pool, "forget_provider_states"),
    }
    return [await _kept(pool, step, work, now) for step, work in steps.items()]


async def _kept(
    pool: asyncpg.Pool[asyncpg.Record],
    step: str,
    work: Callable[[], Awaitable[None]],
    now: datetime,
) -> Kept:
    refusals: list[str] = []
    try:
        await work()
        await pool.execute(*bound("note_housekeeping", step=step, now=now, refusal=None))
    except* (InTheWay, *AWAY) as errors:
        refusals.extend(dict.fromkeys(_told(errors)))
    if not refusals:
        return Kept(step, None)
    refusal = "; ".join(refusals)
    try:
        await pool.execute(*bound("note_housekeeping", step=step, now=now, refusal=refusal))
    except AWAY as error:
        refusal = f"{refusal}; and it could not be noted: {error!r}"
    return Kept(step, refusal)


def _told(error: BaseException) -> Iterable[str]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _told(each)
    else:
        yield str(error) or type(error).__name__


class _Rooms:
    """The partitions of the outbox, a day each."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], now: datetime) -> None:
        self._pool = pool
        self._today = now.astimezone(UTC).date()

    async def make_ahead(self) -> None:
        """The furthest first: the nearer ones may wait for a day that has rows already."""
        ahead = (self._today + timedelta(days=days) for days in range(_PARTITIONS_AHEAD, -1, -1))
        made = await self._names()
        await _each(self._make, (day for day in ahead if day.strftime(_NAME) not in made))

    async def move_strays(self) -> None:
        """Each day of which the default partition has rows gets its own, with them."""
        statement = bound("days_in_outbox_default", days_max=_STRAY_DAYS_MAX)
        await _each(self._make, [row["day"] for row in await self._pool.fetch(*statement)])

    async def drop_before(self, oldest: date) -> None:
        names = await self._names()
        await _each(self._drop, (name for name in names if _day(name) < oldest))

    async def _names(self) -> list[str]:
        return [row["name"] for row in await self._pool.fetch(query("outbox_partitions"))]

    async def _make(self, day: date) -> None:
        first_at = datetime.combine(day, time(), UTC)
        made = bound(
            "make_partition",
            parent=_OUTBOX,
            first_at=first_at,
            end_at=first_at + timedelta(days=1),
            rows_max=_MOVED_MAX,
        )
        await self._alone(made, [_CAUGHT])

    async def _drop(self, name: str) -> None:
        dropped = bound("drop_partition", parent=_OUTBOX, dropped=name)
        await self._alone(dropped, [_OUTBOX, _CAUGHT, name])

    async def _alone(
        self, statement: tuple[str, *tuple[object, ...]], locked: Sequence[str]
    ) -> None:
        """Run DDL that locks those tables, unless somebody has them or another does this already.

        Raises InTheWay.
        """
        async with self._pool.acquire() as connection:
            if holders := await _holders(connection, locked):
                raise InTheWay(holders)
            try:
                async with connection.transaction():
                    await connection.execute(query("limit_housekeeping"))
                    if await connection.fetchval(query("alone_in_housekeeping")):
                        await connection.execute(*statement, timeout=_LONG_S)
            except asyncpg.LockNotAvailableError as error:
                raise InTheWay(await _holders(connection, locked)) from error


async def _holders(
    connection: asyncpg.pool.PoolConnectionProxy, tables: Sequence[str]
) -> list[Holder]:
    rows = await connection.fetch(*bound("holders_of_tables", tables=list(tables)))
    return [Holder(**row) for row in rows]


async def _each(work: Callable[[_Thing], Awaitable[None]], things: Iterable[_Thing]) -> None:
    """Do it to each, whatever becomes of the others. Raises an ExceptionGroup of the refusals."""
    refusals: list[Exception] = []
    for each in things:
        try:
            await work(each)
        except (InTheWay, *AWAY) as error:
            refusals.append(error)
    if refusals:
        raise ExceptionGroup("refused", refusals)


def _day(name: str) -> date:
    return datetime.strptime(name, _NAME).replace(tzinfo=UTC).date()


async def _run(pool: asyncpg.Pool[asyncpg.Record], statement: str) -> None:
    await pool.execute(query(statement))


async def _forget(pool: asyncpg.Pool[asyncpg.Record], statement: str, before: datetime) -> None:
    """Delete all that is older, a part at a time: a long transaction would hold up vacuum."""
    full = f"DELETE {_FORGET_MAX}"
    while await pool.execute(*bound(statement, before=before, rows_max=_FORGET_MAX)) == full:
        continue
