"""How far behind everything is, as `lag` measures it from outside.

These gauges describe the pipeline, not the process that serves them (`python -m lag`, as many of
it as one likes): each serves them all, so take the maximum over instances, never the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telemetry.metrics.families import Declare

_PARTITION = ("group", "topic", "partition")


class LagMetrics:
    """Consumer groups, work waiting in Postgres, and whether anybody could measure."""

    def __init__(self, declare: Declare) -> None:
        self.source_up = declare.gauges(
            "lag_source_up",
            "1 if a source answered: kafka, kafka_others, slots, redis, waiting, providers.",
            "source",
        )
        self.messages = declare.gauges(
            "stage_lag_messages", "Messages not yet acknowledged.", *_PARTITION
        )
        self.seconds = declare.gauges(
            "stage_lag_seconds", "Age of the oldest unacknowledged message.", *_PARTITION
        )
        self.rate = declare.gauges(
            "stage_consumed_per_second", "Messages acknowledged a second.", *_PARTITION
        )
        self.drain = declare.gauges(
            "stage_drain_seconds",
            "Seconds until the group has caught up, at its pace.",
            "group",
            "topic",
        )
        self.group_state = declare.gauges(
            "stage_group_state",
            "1 for the state a group is in (ok, warning, unknown, stalled, rewind, stopped).",
            "group",
            "topic",
            "state",
        )
        self.partition_state = declare.gauges(
            "stage_partition_state", "1, labelled with the state it is in.", *_PARTITION, "state"
        )
        self.known = declare.gauges(
            "stage_lag_known", "1 if the lag of every partition is known.", "group", "topic"
        )
        self.waiting = declare.gauges(
            "waiting_work",
            "Past their time (payments and refunds, up to 100,000; housekeeping, endpoints with"
            " webhooks), parked or open.",
            "kind",
        )
        self.waiting_oldest = declare.gauges(
            "waiting_work_oldest_seconds", "How long the oldest of them is past its time.", "kind"
        )


class SlotMetrics:
    """Replication slots, whether read or not."""

    def __init__(self, declare: Declare) -> None:
        self.bytes = declare.gauges(
            "slot_lag_bytes", "WAL the slot's reader has not confirmed.", "slot"
        )
        self.seconds = declare.gauges(
            "slot_lag_seconds", "Age of the confirmed WAL position.", "slot"
        )
        self.active = declare.gauges("slot_active", "1 while a reader is connected.", "slot")
        self.wal_status = declare.gauges(
            "slot_wal_status",
            "1 for the slot's wal_status (reserved, extended, unreserved, lost; missing, table).",
            "slot",
            "status",
        )
        self.safe_wal = declare.gauges(
            "slot_safe_wal_bytes", "WAL that may be written before the slot may be lost.", "slot"
        )


class RedisGroupMetrics:
    """Consumer groups on Redis Streams."""

    def __init__(self, declare: Declare) -> None:
        self.messages = declare.gauges(
            "redis_group_lag_messages", "Entries not yet delivered to the group.", "stream", "group"
        )
        self.pending = declare.gauges(
            "redis_group_pending", "Entries delivered, not acknowledged.", "stream", "group"
        )
        self.seconds = declare.gauges(
            "redis_group_lag_seconds",
            "Age of the oldest entry not delivered or not acknowledged.",
            "stream",
            "group",
        )
