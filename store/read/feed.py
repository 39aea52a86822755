"""The outbox as a feed: what of it is settled, and a tenant's public events by position.

Positions are drawn before their rows are committed. Whoever reads up to one of which it is certain
that nothing below it is still to come (`Look`) sees every event once, each payment's in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from store.queries import bound, query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


class Look(NamedTuple):
    """Up to where positions were drawn, and then who was writing; in which history of a database.

    Whatever was drawn by then is committed, or never will be, once none of the writers is left.
    """

    drawn: int
    writers: frozenset[str]
    history: str


@dataclass(frozen=True, slots=True)
class FeedFilters:
    """Which events; what is None filters nothing."""

    types: tuple[str, ...] | None = None
    account_id: UUID | None = None
    payment_id: UUID | None = None


class Stretch(NamedTuple):
    """A part of the feed: behind `after`, up to `settled`.

    At most `limit` events of it that pass, found among the next `read_max`.
    """

    after: int
    settled: int
    limit: int
    read_max: int


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """A public event as it lies in the outbox; `data` is the value of its message."""

    position: int
    tenant_id: str
    id: UUID
    type: str
    payment_id: str
    sequence: int
    data: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class EventsBehind:
    """Events in order, and up to where they are all there are; `is_all` if nothing is behind that.

    What lay up to `dropped_to` may be gone.
    """

    events: Sequence[FeedEvent]
    read_to: int
    is_all: bool
    dropped_to: int


async def look(connection: PoolConnectionProxy) -> Look:
    """Raises what asyncpg raises; of a standby, too, which knows no writers."""
    drawn = await drawn_position(connection)
    # Asked after that: who drew one up to there has locked the table before.
    row = await connection.fetchrow(query("outbox_writers"))
    assert row is not None, "it has one row"
    return Look(drawn, frozenset(row["writers"]), f"{row['system']}/{row['timeline']}")


async def drawn_position(connection: PoolConnectionProxy) -> int:
    """Every position that was drawn so far is at most this."""
    drawn: int = await connection.fetchval(query("drawn_position"))
    return drawn


async def events_behind(
    connection: PoolConnectionProxy, tenant_id: str, filters: FeedFilters, part: Stretch
) -> EventsBehind:
    """A tenant's events of a part that pass the filters."""
    statement = bound(
        "events_behind",
        tenant_id=tenant_id,
        types=filters.types,
        account_id=filters.account_id,
        payment_id=filters.payment_id,
        after=part.after,
        settled=part.settled,
        rows_max=part.limit,
        read_max=part.read_max,
    )
    rows = await connection.fetch(*statement)
    first = rows[0]
    events = [_event_from(row, tenant_id) for row in rows if row["position"] is not None]
    if len(events) == part.limit:
        read_to = events[-1].position
    elif first["rows_read"] == part.read_max:
        read_to = first["read_to"]
    else:
        read_to = part.settled
    return EventsBehind(events, read_to, read_to >= part.settled, first["dropped_to"])


async def events_since(
    connection: PoolConnectionProxy,
    tenant_ids: Sequence[str],
    *,
    after: int,
    settled: int,
    limit: int,
) -> list[FeedEvent]:
    """What came to these tenants, at most `limit` events."""
    statement = bound(
        "events_since", tenant_ids=tenant_ids, after=after, settled=settled, rows_max=limit
    )
    return [_event_from(row, row["tenant_id"]) for row in await connection.fetch(*statement)]


def _event_from(row: Record, tenant_id: str) -> FeedEvent:
    return FeedEvent(
        position=row["position"],
        tenant_id=tenant_id,
        id=row["id"],
        type=row["type"],
        payment_id=row["aggregateid"],
        sequence=row["sequence"],
        data=row["payload"],
        occurred_at=row["occurred_at"],
    )
