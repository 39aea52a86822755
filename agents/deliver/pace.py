"""How much one worker has under way: of one endpoint, of those that are slow, and in all.

An endpoint begins with one try at a time; each that it takes allows it twice as many, each that it
does not half. One that has taken nothing yet, or is slow to answer, shares half of all places with
its like: whatever they do, the other half is for those that answer promptly.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

PER_ENDPOINT_MAX: Final = 32
IN_FLIGHT_MAX: Final = 256
# A prompt endpoint answers within tens of milliseconds.
_SLOW_S: Final = 1.0
# Not asked of for so long, an endpoint is as one that nobody knows.
_KNOWN_S: Final = 300.0


@dataclass(slots=True)
class _Endpoint:
    allowed: int = 1
    is_proven: bool = False
    used_at: float = 0.0
    # When each try under way began, the first one first.
    tries: OrderedDict[UUID, float] = field(default_factory=OrderedDict)

    def is_prompt(self, now: float) -> bool:
        first = next(iter(self.tries.values()), now)
        return self.is_proven and now - first < _SLOW_S


@dataclass(frozen=True, slots=True)
class Room:
    """How many more tries may be begun of an endpoint, and whether it answers promptly."""

    endpoint_id: UUID
    room: int
    is_proven: bool


class Pace:
    """`clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float], in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._endpoints: dict[UUID, _Endpoint] = {}

    @property
    def in_flight(self) -> int:
        """Tries under way."""
        return sum(len(each.tries) for each in self._endpoints.values())

    @property
    def room(self) -> int:
        """How many more may be begun in all."""
        return self._in_flight_max - self.in_flight

    @property
    def unproven_room(self) -> int:
        """How many of them of endpoints that do not answer promptly."""
        now = self._clock()
        taken = sum(len(each.tries) for each in self._endpoints.values() if not each.is_prompt(now))
        return max(0, self._in_flight_max // 2 - taken)

    def rooms(self) -> list[Room]:
        """Of each endpoint that is known."""
        now = self._clock()
        for endpoint_id, each in [*self._endpoints.items()]:
            if not each.tries and now - each.used_at > _KNOWN_S:
                del self._endpoints[endpoint_id]
        return [
            Room(endpoint_id, max(0, each.allowed - len(each.tries)), each.is_prompt(now))
            for endpoint_id, each in self._endpoints.items()
        ]

    def begin(self, endpoint_id: UUID, delivery_id: UUID) -> None:
        """A try begins."""
        endpoint = self._endpoints.setdefault(endpoint_id, _Endpoint())
        endpoint.tries[delivery_id] = self._clock()

    def end(self, endpoint_id: UUID, delivery_id: UUID, *, is_taken: bool) -> None:
        """It is over."""
        endpoint = self._endpoints[endpoint_id]
        # Begun twice, because by a clock that was set its lease ran out meanwhile, it ends twice.
        endpoint.tries.pop(delivery_id, None)
        endpoint.used_at = self._clock()
        if is_taken:
            endpoint.allowed = min(PER_ENDPOINT_MAX, endpoint.allowed * 2)
            endpoint.is_proven = True
        else:
            endpoint.allowed = max(1, endpoint.allowed // 2)
            endpoint.is_proven = endpoint.is_proven and endpoint.allowed > 1
