"""Lag of the consumer groups on the broker, as an outsider sees it.

It joins no group and commits nothing, so it cannot disturb what it measures, and it tells
of a group whose members are all dead, or that never ran, what waits for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lag.broker import Broker, GroupOnBroker
from lag.foreign import shown
from lag.history import GroupHistory, Sample, age_seconds
from lag.report import GroupLag, PartitionLag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import TopicPartition

    from lag.broker import Bounds
    from lag.targets import LagTargets

# Topics of Faust and of the broker itself: a group commits there too, but no work waits there.
_INTERNAL_MARKS: Final = ("__assignor", "__consumer_offsets", "__transaction_state")
_ABSENT: Final = GroupOnBroker(members=0, topics=frozenset(), committed={})


@dataclass(frozen=True, slots=True)
class _Offsets:
    """Where a group stands in one partition: `next` is the first message it has not done."""

    committed: int | None
    next: int
    end: int

    @property
    def lag(self) -> int:
        return max(0, self.end - self.next)


@dataclass(frozen=True, slots=True)
class _Reader:
    """A group that reads a topic."""

    group: str
    topic: str
    members: int


class ConsumerGroups:
    """Every group on the broker, on each topic it reads, and the stages that never ran."""

    def __init__(self, targets: LagTargets) -> None:
        self._expected = targets.groups
        self._broker = Broker(targets.kafka)
        self._histories: defaultdict[tuple[str, str, int | None], GroupHistory] = defaultdict(
            GroupHistory
        )

    async def measure(self, now: float) -> tuple[GroupLag, ...]:
        groups = await self._broker.groups()
        readers = sorted(_readers(groups) | set(self._expected.items()))
        # Asked after the groups: an end is then never older than the commit it is compared with.
        bounds = await self._broker.bounds({topic for _, topic in readers})
        found = {at.topic for at in bounds}
        await self._broker.refuse_hidden(
            self._expected.keys() - groups.keys(), set(self._expected.values()) - found
        )
        lags: list[GroupLag] = []
        asked: set[tuple[TopicPartition, int]] = set()
        for name, topic in readers:
            group = groups.get(name, _ABSENT)
            offsets = {
                at: _offsets_of(group, at, limits)
                for at, limits in sorted(bounds.items())
                if at.topic == topic
            }
            behind = {at: each.next for at, each in offsets.items() if each.lag}
            asked.update(behind.items())
            produced_at = await self._broker.timestamps(behind)
            ages = {at: age_seconds(seconds, now) for at, seconds in produced_at.items()}
            lags.append(self._group_lag(_Reader(name, topic, group.members), offsets, ages, now))
        self._broker.forget_ages_but(asked)
        return tuple(lags)

    async def close(self) -> None:
        await self._broker.close()

    def _group_lag(
        self,
        reader: _Reader,
        offsets: Mapping[TopicPartition, _Offsets],
        ages: Mapping[TopicPartition, float],
        now: float,
    ) -> GroupLag:
        partitions = tuple(
            PartitionLag(
                partition=at.partition,
                committed=each.committed,
                end=each.end,
                messages=each.lag,
                seconds=ages.get(at) if each.lag else 0.0,
                per_second=self._with_sample(reader, at.partition, each, now).per_second,
            )
            for at, each in offsets.items()
        )
        whole = _Offsets(
            committed=None,
            next=sum(each.next for each in offsets.values()),
            end=sum(max(each.next, each.end) for each in offsets.values()),
        )
        history = self._with_sample(reader, None, whole, now)
        return GroupLag(
            group=shown(reader.group),
            topic=shown(reader.topic),
            state=history.state(reader.members),
            members=reader.members,
            messages=whole.lag,
            seconds=max(ages.values(), default=None if whole.lag else 0.0),
            per_second=history.per_second,
            drain_seconds=history.drain_seconds,
            partitions=partitions,
        )

    def _with_sample(
        self, reader: _Reader, partition: int | None, offsets: _Offsets, now: float
    ) -> GroupHistory:
        history = self._histories[reader.group, reader.topic, partition]
        history.add(Sample(now, offsets.next, offsets.lag))
        return history


def _readers(groups: Mapping[str, GroupOnBroker]) -> set[tuple[str, str]]:
    """Each group with each topic it reads, by its commits and by what its members were given."""
    return {
        (name, topic)
        for name, group in groups.items()
        for topic in group.topics | {at.topic for at in group.committed}
        if not any(mark in topic for mark in _INTERNAL_MARKS)
    }


def _offsets_of(group: GroupOnBroker, at: TopicPartition, limits: Bounds) -> _Offsets:
    """Before its first commit a group starts at the first message there is, as ours all do."""
    committed = group.committed.get(at)
    position = limits.first if committed is None else max(committed, limits.first)
    return _Offsets(committed, position, limits.end)
