"""The feed of events: a page of it, to be asked for again and again, or all of it as it comes.

Both begin behind a cursor and skip nothing. Of a cursor whose events are gone both say so (410).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.events import (
    LAST_EVENT_ID,
    EventsOf,
    EventsQuery,
    EventStreamQuery,
)
from api.contract.responses.answers import JSON
from api.contract.responses.events import EventsResponse
from api.contract.route import Route, Success
from api.feed.events import told
from api.feed.feed import Now
from api.feed.listeners import Listener
from api.feed.positions import Place
from api.feed.stream import stream
from api.handling.call import Call
from api.http.problems import UNAUTHORIZED, FieldError, Problem, invalid
from api.http.streaming import Streamed
from store.read.feed import FeedFilters
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from store.read.feed import EventsBehind

# What is being committed as a page is asked for is waited for a little, and no longer.
_SETTLES_WITHIN_S: Final = 0.25
_REACHED_WITHIN_S: Final = 5.0
# No proxy keeps what comes until there is more of it, or packs it.
_STREAM: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


async def list_events(call: Call) -> Answer:
    query = call.query(EventsQuery)
    feed, tenant_id = call.deps.feed, call.tenant_id
    if query.after_position is None:
        now = await feed.now(_SETTLES_WITHIN_S)
    else:
        now = await feed.reached(query.after_position, tenant_id, _REACHED_WITHIN_S)
    after = _after(call, query.cursor, now)
    filters = query.filters()
    settled = max(now.settled, after or 0)
    found = await feed.read(tenant_id, filters, after, settled, query.limit)
    return Answer(200, JSON, _page(found, now, tenant_id))


async def stream_events(call: Call) -> Answer:
    query = call.query(EventStreamQuery)
    feed, tenant_id, request = call.deps.feed, call.tenant_id, call.request
    now = await feed.now(0)
    after = await _begin(call, query, now)
    if request.method == "HEAD":
        return Answer(200, _STREAM, b"")

    async def may_stay() -> bool:
        try:
            await call.deps.authenticator.principal(request.headers.get("Authorization"))
        except Problem as problem:
            return problem.kind is not UNAUTHORIZED
        return True

    def is_gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    listener = Listener(tenant_id, query.filters(), after, is_gone)

    def cut_off() -> None:
        listener.end("slow")
        if request.transport is not None:
            request.transport.abort()

    feed.enter(listener)
    return Streamed(
        200,
        _STREAM,
        b"",
        chunks=stream(feed, listener, now.mark, may_stay),
        patience_s=feed.limits.patience_s,
        cut_off=cut_off,
    )


async def _begin(call: Call, query: EventsOf, now: Now) -> int:
    """Where the stream begins, which is known to be kept. Raises Problem."""
    sent = call.request.headers.getall(LAST_EVENT_ID, ())
    if len(sent) > 1:
        raise invalid(FieldError("appears twice", parameter=LAST_EVENT_ID))
    # Whoever comes again asks at the same address, and knows better by now.
    after = _after(call, query.cursor, now)
    if sent and sent[0]:
        after = call.deps.feed.position(sent[0], call.tenant_id, now, parameter=LAST_EVENT_ID)
    settled = max(now.settled, after or 0)
    found = await call.deps.feed.read(call.tenant_id, FeedFilters(), after, settled, 1)
    return found.dropped_to if after is None else after


def _after(call: Call, cursor: str | None, now: Now) -> int | None:
    if cursor is None:
        return None
    return call.deps.feed.position(cursor, call.tenant_id, now, parameter="cursor")


def _page(found: EventsBehind, now: Now, tenant_id: str) -> bytes:
    events = (told(each, Place(now.mark, each.position).token(tenant_id)) for each in found.events)
    more = b"false" if found.is_all else b"true"
    cursor = Place(now.mark, found.read_to).token(tenant_id).encode()
    return b"".join(
        (
            b'{"data":[',
            b",".join(events),
            b'],"next_cursor":"',
            cursor,
            b'","has_more":',
            more,
            b"}",
        )
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/events",
        handler=list_events,
        scope=Scope.PAYMENTS_READ,
        summary="Events of payments, oldest first; ask again with `next_cursor`.",
        tag="Events",
        query=EventsQuery,
        refusals=(410,),
        successes={200: Success("Events, in order for each payment.", EventsResponse)},
    ),
    Route(
        method="GET",
        path="/api/v1/events/stream",
        handler=stream_events,
        scope=Scope.PAYMENTS_READ,
        summary="The same as server-sent events, as they happen.",
        tag="Events",
        query=EventStreamQuery,
        resumes=True,
        refusals=(410,),
        successes={
            200: Success(
                "An event a block: `id` is its cursor, `data` the event as a page has it.",
                media_type="text/event-stream",
            )
        },
    ),
)
