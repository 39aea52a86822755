"""Lag of the consumer groups on the broker, as an outsider sees it.

It joins no group and commits nothing, so it cannot disturb what it measures, and it tells
of a group whose members are all dead, or that never ran, what waits for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lag.broker import Broker, GroupOnBroker
from lag.history import Progress, Sample, age_seconds
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
class _Place:
    """Where a group stands in one partition: `position` is the next message it has to do."""

    committed: int | None
    position: int
    end: int

    @property
    def lag(self) -> int:
        return max(0, self.end - self.position)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A group that reads a topic."""

    group: str
    topic: str
    members: int


class ConsumerGroups:
    """Every group on the broker, on each topic it reads, and the stages that never ran."""

    def __init__(self, pipeline: LagTargets) -> None:
        self._stages = pipeline.stages
        self._broker = Broker(pipeline.bootstrap_servers)
        self._progress: defaultdict[tuple[str, str, int | None], Progress] = defaultdict(Progress)

    async def measure(self, now: float) -> tuple[GroupLag, ...]:
        groups = await self._broker.groups()
        readings = sorted(_readings(groups) | set(self._stages.items()))
        # Asked after the groups: an end is then never older than the commit it is compared with.
        bounds = await self._broker.bounds({topic for _, topic in readings})
        lags: list[GroupLag] = []
        asked: set[tuple[TopicPartition, int]] = set()
        for name, topic in readings:
            group = groups.get(name, _ABSENT)
            places = {
                at: _place(group, at, limits)
                for at, limits in sorted(bounds.items())
                if at.topic == topic
            }
            behind = {at: place.position for at, place in places.items() if place.lag}
            asked.update(behind.items())
            produced_at = await self._broker.timestamps(behind)
            ages = {at: age_seconds(seconds, now) for at, seconds in produced_at.items()}
            lags.append(self._group_lag(_Reading(name, topic, group.members), places, ages, now))
        self._broker.forget_ages_but(asked)
        return tuple(lags)

    async def close(self) -> None:
        await self._broker.close()

    def _group_lag(
        self,
        reading: _Reading,
        places: Mapping[TopicPartition, _Place],
        ages: Mapping[TopicPartition, float],
        now: float,
    ) -> GroupLag:
        partitions = tuple(
            PartitionLag(
                partition=at.partition,
                committed=place.committed,
                end=place.end,
                messages=place.lag,
                seconds=ages.get(at) if place.lag else 0.0,
                per_second=self._noted(reading, at.partition, place, now).per_second,
            )
            for at, place in places.items()
        )
        whole = _Place(
            committed=None,
            position=sum(place.position for place in places.values()),
            end=sum(max(place.position, place.end) for place in places.values()),
        )
        progress = self._noted(reading, None, whole, now)
        return GroupLag(
            group=reading.group,
            topic=reading.topic,
            state=progress.state(reading.members),
            members=reading.members,
            messages=whole.lag,
            seconds=max(ages.values(), default=None if whole.lag else 0.0),
            per_second=progress.per_second,
            drain_seconds=progress.drain_seconds,
            partitions=partitions,
        )

    def _noted(
        self, reading: _Reading, partition: int | None, place: _Place, now: float
    ) -> Progress:
        progress = self._progress[reading.group, reading.topic, partition]
        progress.add(Sample(now, place.position, place.lag))
        return progress


def _readings(groups: Mapping[str, GroupOnBroker]) -> set[tuple[str, str]]:
    """Each group with each topic it reads, by its commits and by what its members were given."""
    return {
        (name, topic)
        for name, group in groups.items()
        for topic in group.topics | {at.topic for at in group.committed}
        if not any(mark in topic for mark in _INTERNAL_MARKS)
    }


def _place(group: GroupOnBroker, at: TopicPartition, limits: Bounds) -> _Place:
    """Before its first commit a group starts at the first message there is, as ours all do."""
    committed = group.committed.get(at)
    position = limits.first if committed is None else max(committed, limits.first)
    return _Place(committed, position, limits.end)
