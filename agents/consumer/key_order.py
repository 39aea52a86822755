"""Whose turn it is: messages of one key are worked on one after the other, as they were taken.

Lanes and batches work on many messages at once; what of these has the same key must not
overtake itself, or a message could be claimed that is to wait behind the one before it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faust.types import TP, EventT

    _Place = tuple[TP, bytes | None]


@dataclass(frozen=True, slots=True, eq=False)
class KeyTurn:
    """A message's place in its lane: its turn comes when the one `before` it is over."""

    lane: str
    before: asyncio.Event | None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def comes(self, stopping: asyncio.Event) -> bool:
        """Wait for it; False when told to stop before it came."""
        if self.before is None or self.before.is_set():
            return True
        coming = asyncio.ensure_future(self.before.wait())
        told = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({coming, told}, return_when=asyncio.FIRST_COMPLETED)
        coming.cancel()
        told.cancel()
        return not stopping.is_set()


class KeyOrder:
    """Gives turns, in the order in which it is asked for them."""

    def __init__(self) -> None:
        self._last: dict[_Place, KeyTurn] = {}
        # The lane of each that stands beyond its bound.
        self._beyond: dict[_Place, list[str]] = {}

    def lane(self, event: EventT[bytes], chosen: str) -> str:
        """The lane in which one of its key waits, that no lane waits for another; or the chosen."""
        place = (event.message.tp, event.message.key)
        if place in self._beyond:
            return self._beyond[place][-1]
        last = self._last.get(place)
        return last.lane if last else chosen

    def beyond(self, event: EventT[bytes], lane: str) -> None:
        """It stands beyond its lane's bound, and is given a turn later or none at all."""
        if event.message.key is not None:
            self._beyond.setdefault((event.message.tp, event.message.key), []).append(lane)

    def beyond_no_more(self, event: EventT[bytes]) -> None:
        """It is given a turn now, or forgotten."""
        place = (event.message.tp, event.message.key)
        if lanes := self._beyond.pop(place, [])[1:]:
            self._beyond[place] = lanes

    def taken(self, event: EventT[bytes], lane: str) -> KeyTurn:
        """Every event must pass here in the order of its partition; without a key it is free."""
        key = event.message.key
        if key is None:
            return KeyTurn(lane, None)
        place = (event.message.tp, key)
        last = self._last.get(place)
        turn = self._last[place] = KeyTurn(lane, last.over if last else None)
        return turn

    def over(self, event: EventT[bytes], turn: KeyTurn) -> None:
        """What became of the message is recorded: the next of its key may begin."""
        turn.over.set()
        place = (event.message.tp, event.message.key)
        if self._last.get(place) is turn:
            del self._last[place]
