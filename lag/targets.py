"""What lag is measured of: the servers, and the groups, slots and streams that ought to be there.

The latter are the tables of `topics/names.py` unless said, so that what is declared is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from topics.names import SLOTS, STAGES, TOPICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from process.addresses import DatabaseAddress, KafkaAddress, RedisAddress
    from topics.names import Topic, WorkStage


def groups_of(stages: Iterable[WorkStage] = STAGES) -> dict[str, str]:
    """The topic of each consumer group that is a stage's."""
    return {each.group: each.topic.name for each in stages if each.topic is not None}


def slots_of(slots: Mapping[str, str] = SLOTS) -> tuple[str, ...]:
    """The replication slot of each sink."""
    return tuple(slots.values())


def slots_read(source: str, sinks: Iterable[str]) -> tuple[str, ...]:
    """The replication slots there ought to be of these, read from the outbox's `source`."""
    return tuple(SLOTS[sink] for sink in sinks) if source == "wal" else ()


def tables_read(source: str, sinks: Iterable[str]) -> dict[str, str]:
    """Of these the sinks whose relays read the table, each with the slot that it has elsewhere."""
    return {sink: SLOTS[sink] for sink in sinks} if source == "table" else {}


def streams_of(topics: Iterable[Topic] = TOPICS) -> tuple[str, ...]:
    """The Redis stream of each topic that is mirrored there."""
    return tuple(each.name for each in topics if each.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class LagTargets:
    """Where to look, and what ought to be there.

    `groups` names each stage's consumer group and its topic, so that one that never ran is
    reported too; of other groups on the broker those whose name matches a pattern of `others`.
    `tables` is of `tables_read`.
    """

    kafka: KafkaAddress
    redis: RedisAddress
    database: DatabaseAddress
    groups: Mapping[str, str] = field(default_factory=groups_of)
    others: Collection[str] = ()
    slots: Collection[str] = field(default_factory=slots_of)
    tables: Mapping[str, str] = field(default_factory=dict)
    redis_streams: Collection[str] = field(default_factory=streams_of)
