"""Lists, newest first, a page at a time: the one way each of them is read and answered.

A resource says where its list is read, what orders it and what a row of it looks like; cursor,
limit, the row more than asked for that tells of a next page, and the answer are the same for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from asyncpg.pool import PoolConnectionProxy

from api.contract.requests.queries import FiltersT, PageQuery
from api.contract.responses.answers import JSON, Page, RowT, json_answer, page_json
from api.handling.cursors import Order, PositionT
from store.read.found import Found
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from api.handling.call import Call

FiltersT_contra = TypeVar("FiltersT_contra", contravariant=True)
ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
MadeT = TypeVar("MadeT")

# Rows that are rendered before others have their turn of the event loop: half a millisecond.
_AT_ONCE: Final = 20


class Reader(Protocol[FiltersT_contra, PositionT, ItemT_co]):
    """Reads at most `limit` of a tenant's items that are older than the position `before`.

    One that gives up on its filters after so much says how far it came (`Found`).
    """

    def __call__(
        self,
        connection: PoolConnectionProxy,
        tenant_id: str,
        filters: FiltersT_contra,
        /,
        *,
        before: PositionT | None,
        limit: int,
    ) -> Awaitable[Sequence[ItemT_co] | Found[ItemT_co, PositionT]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[FiltersT, PositionT, ItemT, RowT]):
    """What one list has of its own."""

    read: Reader[FiltersT, PositionT, ItemT]
    order: Order[PositionT]
    position: Callable[[ItemT], PositionT]
    page: type[Page[RowT]]
    row: Callable[[ItemT], RowT]
    # A row as `page` would have it in JSON, where there is a cheaper way to it.
    json: Callable[[ItemT], bytes] | None = None

    async def answer(
        self, call: Call, query: PageQuery, filters: FiltersT, **more_said: object
    ) -> Answer:
        """The page asked for, on which more may be said of the whole list.

        Raises Problem for a cursor that was not made with these filters.
        """
        before = self.order.position(query.cursor, repr(filters)) if query.cursor else None
        async with call.database() as connection:
            found = await self.read(
                connection, call.tenant_id, filters, before=before, limit=query.limit + 1
            )
        read_to = None
        if isinstance(found, Found):
            read_to, found = found.read_to, found.items
        shown, more = self.shown(found, query.limit, filters)
        if more is None and read_to is not None:
            more = self.order.cursor_after(read_to, repr(filters))
        if self.json is not None:
            return Answer(200, JSON, page_json(await by_turns(self.json, shown), more))
        data = await by_turns(self.row, shown)
        return json_answer(200, self.page(data=data, next_cursor=more, **more_said))

    def shown(
        self, found: Sequence[ItemT], limit: int, filters: FiltersT
    ) -> tuple[Sequence[ItemT], str | None]:
        """At most `limit` of what was found, and the cursor of the rest if there was more."""
        if len(found) <= limit:
            return found, None
        shown = found[:limit]
        return shown, self.order.cursor_after(self.position(shown[-1]), repr(filters))


async def by_turns(render: Callable[[ItemT], MadeT], items: Sequence[ItemT]) -> list[MadeT]:
    """A long list holds up nobody: others are let in every few rows."""
    made: list[MadeT] = []
    for first in range(0, len(items), _AT_ONCE):
        if made:
            await asyncio.sleep(0)
        made += [render(each) for each in items[first : first + _AT_ONCE]]
    return made
