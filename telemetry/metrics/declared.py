"""The metrics of one process, gathered from the files that declare them by group."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, ProcessCollector

from telemetry.logging import lines_lost
from telemetry.metrics.families import Declare
from telemetry.metrics.ingress import (
    FeedMetrics,
    GroupCommitMetrics,
    HttpMetrics,
    IdempotencyMetrics,
    PaymentMetrics,
    ProtectionMetrics,
)
from telemetry.metrics.lag import LagMetrics, RedisGroupMetrics, SlotMetrics
from telemetry.metrics.pipeline import (
    DeliveryMetrics,
    ProviderMetrics,
    RelayMetrics,
    SimulatorMetrics,
    StageMetrics,
    WebhookMetrics,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Metrics:
    """The metrics of one process, by group; two over one registry are a ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        declare = Declare(registry)
        self.registry = registry
        self.http = HttpMetrics(declare)
        self.payments = PaymentMetrics(declare)
        self.group_commit = GroupCommitMetrics(declare)
        self.feed = FeedMetrics(declare)
        self.idempotency = IdempotencyMetrics(declare)
        self.protection = ProtectionMetrics(declare)
        self.relay = RelayMetrics(declare)
        self.stage = StageMetrics(declare)
        self.provider = ProviderMetrics(declare)
        self.webhooks = WebhookMetrics(declare)
        self.deliveries = DeliveryMetrics(declare)
        self.simulator = SimulatorMetrics(declare)
        self.lag = LagMetrics(declare)
        self.slots = SlotMetrics(declare)
        self.redis_groups = RedisGroupMetrics(declare)
        declare.counted(
            "log_lines_lost_total",
            "Lines of the log that were not written: stderr is closed, full, or not read.",
            lines_lost,
        )
        self.certificate_refused = declare.gauge(
            "certificate_refused",
            "1 while a changed certificate is no good, and clients are shown the one before.",
        )
        self.build = declare.gauges("build_info", "1, labelled with what runs.", "python")
        self.build.labels(platform.python_version()).set(1)
        ProcessCollector(namespace="payments", registry=registry)
        GCCollector(registry)
