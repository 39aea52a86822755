"""What a listener takes from its tenant's tail, and when the table must be read for it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from api.feed.listeners import Full, Listener, Listeners
from store.read.feed import FeedEvent, FeedFilters

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(position: int, tenant: str = "a", kind: str = "payment.created") -> FeedEvent:
    return FeedEvent(position, tenant, UUID(int=position), kind, "p", 1, "{}", AT)


def entered(
    listeners: Listeners, after: int = 0, tenant: str = "a", types: tuple[str, ...] | None = None
) -> Listener:
    listener = Listener(tenant, FeedFilters(types), after, lambda: False)
    listeners.enter(listener)
    return listener


def positions(listener: Listener) -> list[int] | None:
    taken = listener.take()
    return None if taken is None else [each.position for each in taken]


def test_a_listener_takes_what_is_told_once() -> None:
    """Then nothing, and its place is where all was told."""
    listeners = Listeners(10)
    one, other = entered(listeners), entered(listeners, tenant="b")
    listeners.tell([event(2), event(3, "b"), event(5)], ["a", "b"], 7)
    assert positions(one) == [2, 5]
    assert positions(one) == []
    assert positions(other) == [3]
    assert (one.after, other.after) == (7, 3)
    assert positions(other) == []
    assert other.after == 7


def test_what_a_filter_leaves_out_is_behind_it() -> None:
    """However much it is, in one go."""
    listeners = Listeners(10)
    one = entered(listeners, types=("payment.failed",))
    told = [event(each) for each in range(1, 200)]
    listeners.tell([*told, event(200, kind="payment.failed"), event(201)], ["a"], 300)
    assert positions(one) == [200]
    assert positions(one) == []
    assert one.after == 300


def test_who_is_behind_the_tail_reads_the_table() -> None:
    """Because it came with an old cursor, or took too long."""
    listeners = Listeners(10)
    listeners.told = 50
    late, new = entered(listeners, after=10), entered(listeners, after=50)
    assert positions(late) is None
    late.after = 50
    assert positions(late) == []
    for first in range(51, 1000, 100):
        told = [event(each) for each in range(first, first + 100)]
        listeners.tell(told, ["a"], first + 99)
        while positions(late):
            pass
    assert late.after == 1050
    assert positions(new) is None


def test_whoever_came_while_it_was_read_misses_nothing() -> None:
    """Its tenant was not asked about, so it reads the table for that."""
    listeners = Listeners(10)
    listeners.told = 10
    tenants = listeners.tenants
    one = entered(listeners, after=10)
    listeners.tell([], tenants, 20)
    assert positions(one) is None
    one.after = 20
    listeners.tell([event(21)], ["a"], 22)
    assert positions(one) == [21]


def test_what_everybody_has_is_forgotten() -> None:
    """A quiet tenant costs nothing, and who comes later reads the table."""
    listeners = Listeners(10)
    one = entered(listeners)
    listeners.tell([event(1), event(2)], ["a"], 5)
    assert positions(one) == [1, 2]
    listeners.sweep()
    late = entered(listeners, after=1)
    assert positions(late) is None
    assert positions(one) == []


def test_nobody_takes_all_places() -> None:
    """Half of them are one tenant's at the most, and a place that is left is free."""
    listeners = Listeners(4)
    mine = [entered(listeners), entered(listeners)]
    with pytest.raises(Full):
        entered(listeners)
    entered(listeners, tenant="b")
    listeners.leave(mine[0])
    listeners.leave(mine[0])
    assert len(listeners) == 2
    entered(listeners)


def test_one_whose_client_is_gone_leaves() -> None:
    """Though nobody wrote to it."""
    listeners = Listeners(4)
    gone = Listener("a", FeedFilters(), 0, lambda: True)
    listeners.enter(gone)
    listeners.sweep()
    assert (len(listeners), gone.end_reason) == (0, "gone")
