"""What a measurement of lag says: frozen, in plain units, ready for JSON.

None means "not known", never zero: a group that has made no progress has no drain time,
and a message whose timestamp could not be read has no age.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson


class GroupState(StrEnum):
    """What to think of a group's lag, from bad to good news last; after Burrow's rules."""

    STOPPED = "stopped"  # nobody is a member
    STALLED = "stalled"  # there is lag, and nothing was acknowledged for a while
    WARNING = "warning"  # the lag grows
    OK = "ok"


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition as one group sees it. `committed` is None before its first commit."""

    partition: int
    committed: int | None
    end: int
    messages: int
    seconds: float | None
    per_second: float


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A consumer group on a topic. `seconds` is the age of the oldest unacknowledged message."""

    group: str
    topic: str
    state: GroupState
    members: int
    messages: int
    seconds: float | None
    per_second: float
    drain_seconds: float | None
    partitions: tuple[PartitionLag, ...]


@dataclass(frozen=True, slots=True)
class SlotLag:
    """A replication slot. `seconds` is a lower bound until the history reaches far enough back.

    `wal_status` is Postgres's (`reserved`, `extended`, `unreserved`, `lost`), or `missing` for a
    slot that ought to be there. `safe_wal_bytes` is None where the server sets no limit.
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
    """A source (`kafka`, `slots`, `redis`, `waiting`, `providers`) that did not answer, and why."""

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
