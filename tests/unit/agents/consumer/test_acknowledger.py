"""Acknowledgements keep the order of each partition, in whatever order work is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from agents.consumer.acknowledger import Acknowledger

if TYPE_CHECKING:
    from faust.types import EventT


@dataclass(eq=False)
class Taken:
    """As much of a Faust event as is acknowledged; `acked` is shared by all of a test."""

    partition: int
    offset: int
    acked: list[tuple[int, int]]
    message: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.message = SimpleNamespace(tp=TP("payments.charges", self.partition))

    def ack(self) -> None:
        self.acked.append((self.partition, self.offset))


def taken(acknowledger: Acknowledger, *places: tuple[int, int]) -> list[EventT[bytes]]:
    acked: list[tuple[int, int]] = []
    events = [Taken(partition, offset, acked) for partition, offset in places]
    for event in events:
        acknowledger.taken(cast("EventT[bytes]", event))
    return cast("list[EventT[bytes]]", events)


def acked(events: list[EventT[bytes]]) -> list[tuple[int, int]]:
    return cast("Taken", events[0]).acked


def test_an_event_waits_for_those_before_it() -> None:
    """Done first, the second is acknowledged with the first."""
    acknowledger = Acknowledger()
    first, second, third = events = taken(acknowledger, (0, 10), (0, 11), (0, 12))
    assert acknowledger.done(second) == 0
    assert acknowledger.done(first) == 2
    assert acked(events) == [(0, 10), (0, 11)]
    assert acknowledger.done(third) == 1


def test_partitions_do_not_wait_for_each_other() -> None:
    """An event in flight holds back its own partition only."""
    acknowledger = Acknowledger()
    _, other = events = taken(acknowledger, (0, 10), (1, 3))
    assert acknowledger.done(other) == 1
    assert acked(events) == [(1, 3)]


def test_an_event_that_comes_again_waits_behind_its_first_delivery() -> None:
    """After a rebalance the same offsets are read anew while the first reading is in flight."""
    acknowledger = Acknowledger()
    first, again = events = taken(acknowledger, (0, 10), (0, 10))
    assert acknowledger.done(again) == 0
    assert acknowledger.done(first) == 2
    assert acked(events) == [(0, 10), (0, 10)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_whatever_is_done_first_each_partition_is_acknowledged_from_its_start(
    partitions: list[int], data: st.DataObject
) -> None:
    """At every moment a partition's acknowledged events are the first ones taken from it."""
    acknowledger = Acknowledger()
    places = [(partition, offset) for offset, partition in enumerate(partitions)]
    events = taken(acknowledger, *places)
    counted = 0
    for event in data.draw(st.permutations(events)):
        counted += acknowledger.done(event)
        for partition in set(partitions):
            mine = [place for place in acked(events) if place[0] == partition]
            assert mine == [place for place in places if place[0] == partition][: len(mine)]
    assert counted == len(events) == len(acked(events))
