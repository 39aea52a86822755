"""What has been kept long enough is forgotten, and room is made for the days to come.

Each step stands by itself: one that is refused ends and hides no other, and is told with its
cause and with whoever is in its way (`store.partitions`), and is tried again the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from store.partitions import (
    HISTORY,
    OUTBOX,
    InTheWay,
    Partitioned,
    drop_outbox_day,
    make_partition,
    partitions,
)
from store.pool import AWAY
from store.queries import bound, query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

# Days of partitions made ahead: an empty one costs nothing, and a schedule that is down for days
# is noticed before.
_DAYS_AHEAD: Final = 7
# The month that is, and one or two after it.
_HISTORY_DAYS_AHEAD: Final = 35
# Days that rows of wrong clocks may open in one turn.
_STRAY_DAYS_MAX: Final = 31
# Vendors send a notification again for three days, and later on an operator's word.
_EVENTS_KEPT: Final = timedelta(days=30)
# Published to clients: a key may be retried for so long (API contract, Idempotency-Key).
_KEYS_KEPT: Final = timedelta(days=30)
# Webhooks to tenants: what failed can be replayed for so long.
_WEBHOOKS_KEPT: Final = timedelta(days=30)
_FORGET_MAX: Final = 10_000
# Of each of three tables, row by row: a statement's time is enough where each is a disk's access.
_FORGET_WEBHOOKS_MAX: Final = 1_000

_Thing = TypeVar("_Thing")


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
        "make_history_partitions": rooms.make_history_ahead,
        "move_stray_rows": rooms.move_strays,
        # A partition goes when its last row has been kept for the whole retention.
        "drop_partitions": partial(rooms.drop_before, now - timedelta(seconds=outbox_retention_s)),
        "forget_idempotency_keys": partial(
            _forget, pool, "forget_idempotency_keys", now - _KEYS_KEPT
        ),
        "forget_provider_events": partial(
            _forget, pool, "forget_provider_events", now - _EVENTS_KEPT
        ),
        "forget_provider_states": partial(_run, pool, "forget_provider_states"),
        "forget_webhook_events": partial(_forget_webhooks, pool, now - _WEBHOOKS_KEPT),
    }
    return [await _kept(pool, step, work, now) for step, work in steps.items()]


async def keep_house_by_both_clocks(
    pool: asyncpg.Pool[asyncpg.Record], now: datetime, outbox_retention_s: float
) -> list[Kept]:
    """By the database's clock, or by `now` where that is earlier.

    What is forgotten too early is lost (a key, and the request is done again); a day later it is
    forgotten still. So no clock that is ahead does it alone.
    """
    try:
        of_database = await pool.fetchval(query("database_time"))
    except AWAY as error:
        return [Kept("look_at_the_clock", str(error) or type(error).__name__)]
    return await keep_house(pool, min(now, of_database), outbox_retention_s)


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
    """The partitions of the outbox, a day each, and of the payments' history, a month each."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], now: datetime) -> None:
        self._pool = pool
        self._today = now.astimezone(UTC).date()

    async def make_ahead(self) -> None:
        """The furthest first: the nearer ones may wait for a day that has rows already."""
        until = self._today + timedelta(days=_DAYS_AHEAD)
        made = await partitions(self._pool, OUTBOX)
        wanted = [*OUTBOX.periods(self._today, until)]
        await _each(
            partial(make_partition, self._pool, OUTBOX),
            (day for day in reversed(wanted) if OUTBOX.called(day) not in made),
        )

    async def make_history_ahead(self) -> None:
        """No month is left out, however long nobody looked, but those that were archived."""
        await _each(self._make_history, HISTORY)

    async def _make_history(self, of: Partitioned) -> None:
        since = await self._pool.fetchval(*bound("first_month_of_history", parent=of.name))
        gone = {row["month"] for row in await self._pool.fetch(query("archived_months"))}
        made = await partitions(self._pool, of)
        wanted = [*of.periods(since, self._today + timedelta(days=_HISTORY_DAYS_AHEAD))]
        await _each(
            partial(make_partition, self._pool, of),
            (each for each in reversed(wanted) if each not in gone and of.called(each) not in made),
        )

    async def move_strays(self) -> None:
        """Each day of which the default partition has rows gets its own, with them."""
        statement = bound("days_in_outbox_default", days_max=_STRAY_DAYS_MAX)
        days = [row["day"] for row in await self._pool.fetch(*statement)]
        await _each(partial(make_partition, self._pool, OUTBOX), days)

    async def drop_before(self, kept_since: datetime) -> None:
        """Drop each day that was over a day before that."""
        oldest = (kept_since - timedelta(days=1)).date()
        begun = {each: OUTBOX.begins(each) for each in await partitions(self._pool, OUTBOX)}
        await _each(
            partial(drop_outbox_day, self._pool, kept_since=kept_since),
            (each for each, first in begun.items() if first and first < oldest),
        )


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


async def _run(pool: asyncpg.Pool[asyncpg.Record], statement: str) -> None:
    await pool.execute(query(statement))


async def _forget(pool: asyncpg.Pool[asyncpg.Record], statement: str, before: datetime) -> None:
    """Delete all that is older, a part at a time: a long transaction would hold up vacuum."""
    full = f"DELETE {_FORGET_MAX}"
    while await pool.execute(*bound(statement, before=before, rows_max=_FORGET_MAX)) == full:
        continue


async def _forget_webhooks(pool: asyncpg.Pool[asyncpg.Record], before: datetime) -> None:
    """Likewise, from what hangs on an event up: with it might go more than there is time for."""
    part = bound("forget_webhook_events", before=before, rows_max=_FORGET_WEBHOOKS_MAX)
    while await pool.fetchval(*part):
        continue
