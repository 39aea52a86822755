"""Puts measurements of lag into the gauges: what is no longer measured is no longer shown.

Between a clear and the last set nothing awaits, so that a scrape sees the old or the new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lag.report import GroupState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lag.report import GroupLag, PartitionLag, RedisGroupLag, SlotLag, WaitingWork
    from telemetry.metrics import Metrics
    from telemetry.metrics.lag import LagMetrics


def show_groups(metrics: Metrics, groups: Sequence[GroupLag]) -> None:
    """What is not known has no figure, and its `known` is 0."""
    lag = metrics.lag
    for family in (lag.messages, lag.seconds, lag.rate, lag.drain, lag.group_state,
                   lag.partition_state, lag.known):  # fmt: skip
        family.clear()
    for group in groups:
        for partition in group.partitions:
            _show_partition(lag, (group.group, group.topic, str(partition.partition)), partition)
        if group.drain_seconds is not None:
            lag.drain.labels(group.group, group.topic).set(group.drain_seconds)
        lag.known.labels(group.group, group.topic).set(group.messages is not None)
        for state in GroupState:
            is_state = lag.group_state.labels(group.group, group.topic, state.value)
            is_state.set(group.state is state)


def _show_partition(lag: LagMetrics, labels: tuple[str, str, str], partition: PartitionLag) -> None:
    lag.partition_state.labels(*labels, partition.state.value).set(1)
    if partition.messages is None:
        return
    lag.messages.labels(*labels).set(partition.messages)
    lag.rate.labels(*labels).set(partition.per_second)
    if partition.seconds is not None:
        lag.seconds.labels(*labels).set(partition.seconds)


def show_slots(metrics: Metrics, slots: Sequence[SlotLag]) -> None:
    shown = metrics.slots
    for family in (shown.bytes, shown.seconds, shown.active, shown.wal_status, shown.safe_wal):
        family.clear()
    for slot in slots:
        shown.active.labels(slot.slot).set(slot.active)
        shown.wal_status.labels(slot.slot, slot.wal_status).set(1)
        if slot.bytes is not None:
            shown.bytes.labels(slot.slot).set(slot.bytes)
        if slot.seconds is not None:
            shown.seconds.labels(slot.slot).set(slot.seconds)
        if slot.safe_wal_bytes is not None:
            shown.safe_wal.labels(slot.slot).set(slot.safe_wal_bytes)


def show_redis_groups(metrics: Metrics, groups: Sequence[RedisGroupLag]) -> None:
    shown = metrics.redis_groups
    for family in (shown.messages, shown.pending, shown.seconds):
        family.clear()
    for group in groups:
        labels = (group.stream, group.group)
        shown.pending.labels(*labels).set(group.pending)
        if group.messages is not None:
            shown.messages.labels(*labels).set(group.messages)
        if group.seconds is not None:
            shown.seconds.labels(*labels).set(group.seconds)


def show_waiting(metrics: Metrics, waiting: Sequence[WaitingWork]) -> None:
    metrics.lag.waiting.clear()
    metrics.lag.waiting_oldest.clear()
    for work in waiting:
        metrics.lag.waiting.labels(work.kind).set(work.count)
        metrics.lag.waiting_oldest.labels(work.kind).set(work.oldest_seconds)
