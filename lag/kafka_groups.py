"""Lag of the consumer groups on the broker, as an outsider sees it.

It joins no group and commits nothing, so it cannot disturb what it measures, and it tells
of a group whose members are all dead, or that never ran, what waits for it. Groups of the stages
and groups of others are two measurements, each with a connection of its own, so that nothing
others do costs the stages' a second.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Protocol

from lag.broker import Broker, GroupOnBroker
from lag.first_messages import FirstMessages, Position
from lag.foreign import shown
from lag.history import GroupHistory, Sample, age_seconds
from lag.report import GroupLag, GroupState, PartitionLag, worst

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka.structs import TopicPartition

    from lag.broker import Bounds
    from lag.first_messages import First
    from process.addresses import KafkaAddress

# Topics of Faust and of the broker itself: a group commits there too, but no work waits there.
_INTERNAL_MARKS: Final = ("__assignor", "__consumer_offsets", "__transaction_state")
_ABSENT: Final = GroupOnBroker(members=0, assigned=frozenset(), committed={})
# Of a measurement's time: what could not be looked at in it is measured by its offsets alone.
_READ_SECONDS_MAX: Final = 1.0


class Chosen(Protocol):
    """Which groups are measured, and on which topics they are expected."""

    @property
    def expected(self) -> Mapping[str, str]:
        """Groups that ought to be there, and the topic of each."""
        ...

    async def names(self, broker: Broker) -> Collection[str]:
        """The groups to ask for. Raises KafkaError."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages' groups, whether they ever ran or not."""

    expected: Mapping[str, str]

    async def names(self, broker: Broker) -> Collection[str]:  # noqa: ARG002 - nobody need be asked
        return self.expected.keys()


@dataclass(frozen=True, slots=True)
class Others:
    """Groups on the broker whose names match one of the patterns, but for the stages'."""

    patterns: Collection[str]
    stages: Collection[str]

    @property
    def expected(self) -> Mapping[str, str]:
        return {}

    async def names(self, broker: Broker) -> Collection[str]:
        return {
            name
            for name in await broker.names()
            if name not in self.stages and any(fnmatchcase(name, each) for each in self.patterns)
        }


@dataclass(frozen=True, slots=True)
class _Offsets:
    """Where a group stands in one partition: `next` is the first message it has not done.

    That may lie behind `position`, from where it would read on. `seconds` since 1970 is when it
    was produced, if it was seen.
    """

    committed: int | None
    position: int
    next: int
    end: int
    seconds: float | None = None

    @property
    def lag(self) -> int:
        return max(0, self.end - self.next)


@dataclass(frozen=True, slots=True)
class _Reader:
    """A group that reads a topic; `on_broker` is None where nobody said how it is."""

    group: str
    topic: str
    on_broker: GroupOnBroker | None


class ConsumerGroups:
    """The chosen groups, on each topic they read or ought to."""

    def __init__(self, address: KafkaAddress, chosen: Chosen) -> None:
        self._chosen = chosen
        self._broker = Broker(address)
        self._firsts = FirstMessages(address, _READ_SECONDS_MAX)
        self._histories: defaultdict[tuple[str, str, int | None], GroupHistory] = defaultdict(
            GroupHistory
        )

    async def measure(self, now: float) -> tuple[GroupLag, ...]:
        expected = self._chosen.expected
        groups = await self._broker.groups(await self._chosen.names(self._broker))
        readers = _readers(groups, expected)
        # Asked after the groups: an end is then never older than the commit it is compared with.
        bounds = await self._broker.bounds({each.topic for each in readers})
        found = {at.topic for at in bounds}
        await self._broker.refuse_hidden(
            expected.keys() - groups.keys(), set(expected.values()) - found
        )
        offsets = {
            (each.group, at): _offsets_of(each.on_broker, at, limits)
            for each in readers
            if each.on_broker is not None
            for at, limits in sorted(bounds.items())
            if at.topic == each.topic and limits is not None
        }
        firsts = await self._firsts.of(
            [Position(at, each.position, each.end) for (_, at), each in offsets.items() if each.lag]
        )
        seen = {place: _as_seen(each, firsts, place[1]) for place, each in offsets.items()}
        return tuple(self._group_lag(each, bounds, seen, now) for each in readers)

    async def close(self) -> None:
        try:
            await self._broker.close()
        finally:
            await self._firsts.close()

    def _group_lag(
        self,
        reader: _Reader,
        bounds: Mapping[TopicPartition, Bounds | None],
        offsets: Mapping[tuple[str, TopicPartition], _Offsets],
        now: float,
    ) -> GroupLag:
        of_reader = {
            at: offsets.get((reader.group, at)) for at in sorted(bounds) if at.topic == reader.topic
        }
        partitions = tuple(
            self._partition_lag(reader, at, each, now) for at, each in of_reader.items()
        )
        known = [each for each in of_reader.values() if each is not None]
        whole = _Offsets(
            committed=None,
            position=sum(each.position for each in known),
            next=sum(each.next for each in known),
            end=sum(max(each.next, each.end) for each in known),
        )
        history = self._histories[reader.group, reader.topic, None]
        is_known = reader.on_broker is not None and len(known) == len(of_reader)
        if is_known:
            history.add(Sample(now, whole.position, whole.lag))
        ages = [each.seconds for each in partitions if each.seconds is not None]
        return GroupLag(
            group=shown(reader.group),
            topic=shown(reader.topic),
            state=_state(reader.on_broker, partitions),
            members=None if reader.on_broker is None else reader.on_broker.members,
            messages=whole.lag if is_known else None,
            seconds=max(ages, default=0.0 if is_known and not whole.lag else None),
            per_second=history.per_second,
            drain_seconds=history.drain_seconds if is_known else None,
            partitions=partitions,
        )

    def _partition_lag(
        self, reader: _Reader, at: TopicPartition, offsets: _Offsets | None, now: float
    ) -> PartitionLag:
        history = self._histories[reader.group, reader.topic, at.partition]
        group = reader.on_broker
        if group is None or offsets is None:
            return PartitionLag(
                at.partition, GroupState.UNKNOWN, None, None, None, None, history.per_second
            )
        history.add(Sample(now, offsets.position, offsets.lag, is_owned=group.owns(at)))
        age = None if offsets.seconds is None else age_seconds(offsets.seconds, now)
        return PartitionLag(
            partition=at.partition,
            state=history.state(group.members),
            committed=offsets.committed,
            end=offsets.end,
            messages=offsets.lag,
            seconds=age if offsets.lag else 0.0,
            per_second=history.per_second,
        )


def _readers(
    groups: Mapping[str, GroupOnBroker | None], expected: Mapping[str, str]
) -> list[_Reader]:
    """Each group with each topic it reads, by its commits, its members, and what is expected."""
    found = {
        (name, at.topic)
        for name, group in groups.items()
        if group is not None
        for at in (group.assigned or frozenset()) | group.committed.keys()
        if not any(mark in at.topic for mark in _INTERNAL_MARKS)
    }
    return [
        _Reader(name, topic, groups.get(name, _ABSENT))
        for name, topic in sorted(found | set(expected.items()))
    ]


def _offsets_of(group: GroupOnBroker, at: TopicPartition, limits: Bounds) -> _Offsets:
    """Before its first commit a group starts at the first message there is, as ours all do."""
    committed = group.committed.get(at)
    position = limits.first if committed is None else max(committed, limits.first)
    return _Offsets(committed, position, position, limits.end)


def _as_seen(
    offsets: _Offsets, firsts: Mapping[tuple[TopicPartition, int], First], at: TopicPartition
) -> _Offsets:
    """What it has really not done: markers and what was aborted are nobody's to do."""
    first = firsts.get((at, offsets.position)) if offsets.lag else None
    if first is None:
        return offsets
    return replace(offsets, next=max(offsets.next, first.offset), seconds=first.seconds)


def _state(group: GroupOnBroker | None, partitions: Collection[PartitionLag]) -> GroupState:
    if group is None:
        return GroupState.UNKNOWN
    if not group.members:
        return GroupState.STOPPED
    return worst(each.state for each in partitions)
