"""A queue in which tenants take turns, and which none of them fills.

A tenant that floods it waits behind itself: of the others' one goes before each next one of its
own. It is refused at its own bound, while there is room for everybody else.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

WaitingT = TypeVar("WaitingT")


class FairQueue(Generic[WaitingT]):
    """First come, first served within a tenant; round robin between tenants."""

    def __init__(self) -> None:
        self._by_tenant: dict[str, deque[WaitingT]] = {}
        self._turns: deque[str] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, tenant_id: str) -> int:
        """How many of a tenant's wait."""
        return len(self._by_tenant.get(tenant_id, ()))

    @property
    def tenants(self) -> int:
        """Of how many tenants some wait."""
        return len(self._turns)

    def put(self, tenant_id: str, waiting: WaitingT) -> None:
        """Add one, behind all of its tenant's."""
        queue = self._by_tenant.get(tenant_id)
        if queue is None:
            queue = self._by_tenant[tenant_id] = deque()
            self._turns.append(tenant_id)
        queue.append(waiting)
        self._length += 1

    def put_back(self, tenant_id: str, waiting: WaitingT) -> None:
        """Add one again that was taken, before all of its tenant's: the last one taken first."""
        queue = self._by_tenant.get(tenant_id)
        if queue is None:
            self.put(tenant_id, waiting)
            return
        queue.appendleft(waiting)
        self._length += 1

    def take(
        self, count_max: int, skips: Callable[[str], bool] = lambda _: False
    ) -> list[WaitingT]:
        """The next ones, at most so many, one of each tenant in turn; who is skipped keeps its."""
        taken: list[WaitingT] = []
        skipped: list[str] = []
        while self._turns and len(taken) < count_max:
            tenant_id = self._turns.popleft()
            if skips(tenant_id):
                skipped.append(tenant_id)
                continue
            queue = self._by_tenant[tenant_id]
            taken.append(queue.popleft())
            if queue:
                self._turns.append(tenant_id)
            else:
                del self._by_tenant[tenant_id]
        self._turns.extendleft(reversed(skipped))
        self._length -= len(taken)
        return taken


def has_room(*, own: int, total: int, tenants: int, total_max: int) -> bool:
    """Whether a tenant of which `own` wait may have one more waiting.

    Nobody may have more than half of the room. Once there is none, because many tenants wait,
    who has less than an equal share of it may come all the same, so that it is never more than
    twice as full as it should be.
    """
    if own >= (total_max + 1) // 2:
        return False
    return total < total_max or own < total_max // max(1, tenants)
