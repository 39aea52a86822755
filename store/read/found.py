"""Lists, read a page at a time: of its own rows each, and no more of them than so many for a page.

A page is sought along an index that has the list's own rows in its order, whoever else's lie among
them. What its filters leave out is passed over, and after so many rows it gives up and says how far
it came: a filter that hardly anything passes, and a table that has grown, cost a known time.

Postgres, left to choose, walks what has everybody's rows in that order and throws away the others',
be they all there is. So whose it is stands in the order and in the bounds of a page, and in no
equality: then one index alone has it in order. The bounds include where the page before ended, and
leave that out again: of what is less than a tenant Postgres would expect nothing that is the
tenant's, and sort all of it.

So the statements of pages have these in common: they look at `:read_max` rows, count them (`place`)
and say of each whether it is wanted (`is_wanted`); they return the wanted ones, at most
`:rows_max`, and the last one that may be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from store.queries import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
PositionT = TypeVar("PositionT")

# A page's patience with its filters: some tens of milliseconds.
READ_MAX: Final = 5_000
# Items of a whole list that are held at once, messages and all.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Found(Generic[ItemT_co, PositionT]):
    """The items of a page; `read_to` is where the next one goes on, None where the list ended."""

    items: Sequence[ItemT_co]
    read_to: PositionT | None


class PageReader(Protocol[ItemT_co, PositionT]):
    """Reads at most `limit` items that come after the position `before`."""

    def __call__(
        self, *, before: PositionT | None, limit: int
    ) -> Awaitable[Found[ItemT_co, PositionT]]: ...


async def found_by(
    connection: PoolConnectionProxy,
    name: str,
    item: Callable[[Record], ItemT],
    position: Callable[[Record], PositionT],
    **arguments: object,
) -> Found[ItemT, PositionT]:
    """The page that the statement finds; `position` is what orders its rows."""
    page = {"read_max": READ_MAX, **arguments}
    rows = await connection.fetch(*bound(name, **page))
    is_cut = bool(rows) and (len(rows) == page["rows_max"] or rows[-1]["place"] == page["read_max"])
    return Found(
        [item(row) for row in rows if row["is_wanted"]], position(rows[-1]) if is_cut else None
    )


def of_one_or_all(name: str, tenant_id: str | None) -> tuple[str, dict[str, object]]:
    """The statement of a tenant's list, or of everybody's for None, and what it is told of whom."""
    return (f"{name}_of_all", {}) if tenant_id is None else (name, {"tenant_id": tenant_id})


async def pages_of(
    read: PageReader[ItemT, PositionT], limit: int = _AT_ONCE
) -> AsyncIterator[Sequence[ItemT]]:
    """The whole list, however many pages there are that have few of it, or none."""
    before: PositionT | None = None
    while True:
        page = await read(before=before, limit=limit)
        yield page.items
        if page.read_to is None:
            return
        before = page.read_to


async def first_of(read: PageReader[ItemT, PositionT], limit: int) -> list[ItemT]:
    """The first `limit` items, likewise."""
    found: list[ItemT] = []
    async for items in pages_of(read, min(limit, _AT_ONCE)):
        found += items
        if len(found) >= limit:
            break
    return found[:limit]
