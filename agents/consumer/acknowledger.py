"""Acknowledges events in the order of their partition, whatever order they are done in.

Faust commits past an event in flight when a later one is acknowledged first
(faust-streaming issue 606), so none ever is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faust.types import TP, EventT


class Acknowledger:
    """Knows what was taken and what is done."""

    def __init__(self) -> None:
        self._taken: defaultdict[TP, deque[EventT[bytes]]] = defaultdict(deque)
        self._done: set[int] = set()

    def taken(self, event: EventT[bytes]) -> None:
        """Every event must pass here in the order of its partition, before it is worked on."""
        self._taken[event.message.tp].append(event)

    def done(self, event: EventT[bytes]) -> int:
        """Acknowledge it with all that waited for it; how many that were."""
        self._done.add(id(event))
        waiting = self._taken[event.message.tp]
        acknowledged = 0
        while waiting and id(waiting[0]) in self._done:
            first = waiting.popleft()
            self._done.discard(id(first))
            first.ack()
            acknowledged += 1
        return acknowledged
