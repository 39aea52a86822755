"""What a measurement of lag says: frozen, in plain units, ready for JSON.

None means "not known", never zero: a group that has made no progress has no drain time,
a message whose timestamp could not be read has no age, and a partition whose broker did not
answer has no lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable


# The `wal_status` of what is no slot: a relay that reads the table.
TABLE: Final = "table"


class GroupState(StrEnum):
    """What to think of a partition's lag, or of a group's, worst first; after Burrow's rules."""

    STOPPED = "stopped"  # there is lag and no member has the partition, or nobody is a member
    REWIND = "rewind"  # it went back, and has not come again to where it was
    STALLED = "stalled"  # there is lag, and nothing was acknowledged for a while
    UNKNOWN = "unknown"  # the broker that knows did not say
    WARNING = "warning"  # it moves, and the lag does not shrink
    OK = "ok"


def worst(states: Iterable[GroupState]) -> GroupState:
    """A group is as well as the worst of its partitions; without any there is nothing wrong."""
    return min(states, key=list(GroupState).index, default=GroupState.OK)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition as one group sees it. `committed` is None before its first commit.

    `end` is its last stable offset: what an open transaction holds back is nobody's to read yet.
    """

    partition: int
    state: GroupState
    committed: int | None
    end: int | None
    messages: int | None
    seconds: float | None
    per_second: float


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A consumer group on a topic. `seconds` is the age of the oldest unacknowledged message.

    `messages` is None when it is not known of every partition.
    """

    group: str
    topic: str
    state: GroupState
    members: int | None
    messages: int | None
    seconds: float | None
    per_second: float
    drain_seconds: float | None
    partitions: tuple[PartitionLag, ...]


@dataclass(frozen=True, slots=True)
class SlotLag:
    """A replication slot. `seconds` is a lower bound until the history reaches far enough back.

    `wal_status` is Postgres's (`reserved`, `extended`, `unreserved`, `lost`), `missing` for a slot
    that ought to be there, or `table` for a relay that reads the table instead of one. `bytes` and
    `safe_wal_bytes` are None there, the latter also where the server sets no limit.
    """

    slot: str
    active: bool
    wal_status: str
    bytes: int | None
    seconds: float | None
    safe_wal_bytes: int | None


@dataclass(frozen=True, slots=True)
class RedisGroupLag:
    """A consumer group on a Redis stream: `messages` not delivered, `pending` not acknowledged.

    `messages` is None when Redis cannot tell, after entries were trimmed or deleted. `seconds`
    is the age of the oldest entry that is one or the other, by its `ce_time`.
    """

    stream: str
    group: str
    consumers: int
    messages: int | None
    pending: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class WaitingWork:
    """Rows past their time: payments and refunds overdue, dead letters parked, breaks open."""

    kind: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """A payment provider, by the worst that a living worker says of it, and that one's `stage`.

    `state` is `well`, `limited`, `circuit_open`, `unreachable` or `refusing_credentials`;
    `reason` says in words why it is thought to be so.
    """

    provider: str
    state: str
    stage: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A source (see `lag.exporter.SOURCES`) that did not answer, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class StreamsReport:
    """Everything measured, at about `measured_at`; what is `unavailable` is empty here."""

    measured_at: datetime
    groups: tuple[GroupLag, ...]
    slots: tuple[SlotLag, ...]
    redis_groups: tuple[RedisGroupLag, ...]
    waiting: tuple[WaitingWork, ...]
    unavailable: tuple[Unavailable, ...]
    providers: tuple[ProviderReport, ...] = ()

    def to_json(self) -> bytes:
        """The report as one JSON object whose members are the fields, by their names."""
        return orjson.dumps(self, option=orjson.OPT_UTC_Z)
