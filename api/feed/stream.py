"""What one listener is sent: server-sent events, from where it was on.

`id:` is the cursor behind what was sent, also of a heartbeat, so that a listener which wants little
never falls behind what is kept. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from api.feed.events import told
from api.feed.listeners import TAKEN_MAX
from api.feed.positions import Place
from api.http.problems import UNAVAILABLE, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from api.feed.feed import Feed
    from api.feed.listeners import Listener
    from store.read.feed import FeedEvent

# Milliseconds until a client comes again: not all of them at once, when a process has ended.
_RETRY_MS: Final = 1000
_SPREAD_MS: Final = 4000
_SPREAD_STEP: Final = 997
# After Postgres was away.
_AGAIN_S: Final = 1.0


async def stream(
    feed: Feed, listener: Listener, mark: bytes, may_stay: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """Chunks, for as long as the listener may stay; while Postgres is away there is just no news.

    `mark` is that of the history whose positions it is sent.
    """
    sent = _Sent(feed, listener, mark)
    limits = feed.limits
    until = monotonic() + limits.lifetime_s
    try:
        yield sent.greeting()
        beat_at = ask_at = monotonic() + limits.heartbeat_s
        while listener.end_reason is None:
            now = monotonic()
            if now >= until:
                listener.end("lifetime")
                break
            # News takes a heartbeat's place, and nobody's leave to stay.
            if now >= ask_at:
                if not await may_stay():
                    listener.end("unauthorized")
                    break
                ask_at = now + limits.heartbeat_s
            if now >= beat_at:
                yield sent.heartbeat()
                beat_at = now + limits.heartbeat_s
            events = listener.take()
            if events is None:
                events = await _read_on(feed, listener)
            elif not events:
                await listener.wait(min(beat_at, ask_at, until) - now)
            if events:
                yield sent.chunk(events)
                beat_at = monotonic() + limits.heartbeat_s
    except Problem as problem:
        listener.end(problem.kind.code)
    finally:
        feed.listeners.leave(listener)
        feed.metrics.ended.labels(listener.end_reason or "gone").inc()
    yield sent.farewell()


async def _read_on(feed: Feed, listener: Listener) -> Sequence[FeedEvent]:
    """What is next in the table. Raises Problem, but not because Postgres is away."""
    try:
        return (await feed.read_on(listener, TAKEN_MAX)).events
    except Problem as problem:
        if problem.kind is not UNAVAILABLE:
            raise
        await listener.wait(_AGAIN_S)
        return ()


class _Sent:
    """The lines."""

    def __init__(self, feed: Feed, listener: Listener, mark: bytes) -> None:
        self._feed = feed
        self._listener = listener
        self._mark = mark

    def greeting(self) -> bytes:
        """Where it is, before anything came, and when to come again if this breaks off."""
        spread = len(self._feed.listeners) * _SPREAD_STEP % _SPREAD_MS
        return f"retry: {_RETRY_MS + spread}\n{self._id()}\n\n".encode()

    def heartbeat(self) -> bytes:
        """A comment, and where it is by now."""
        return f": here\n{self._id()}\n\n".encode()

    def farewell(self) -> bytes:
        """Why this is the end, for who reads it; where to go on from is in the last id."""
        return f": {self._listener.end_reason or 'gone'}; come again\n\n".encode()

    def chunk(self, events: Sequence[FeedEvent]) -> bytes:
        """One block an event."""
        self._feed.metrics.sent.inc(len(events))
        return b"".join(map(self._block, events))

    def _block(self, event: FeedEvent) -> bytes:
        cursor = self._cursor(event.position)
        # Between JSON's tokens a line may end, and a line of ours is one of the protocol.
        said = told(event, cursor).replace(b"\n", b" ").replace(b"\r", b" ")
        return b"id: " + cursor.encode() + b"\ndata: " + said + b"\n\n"

    def _id(self) -> str:
        return f"id: {self._cursor(self._listener.after)}"

    def _cursor(self, position: int) -> str:
        return Place(self._mark, position).token(self._listener.tenant_id)
