"""Every metric of the project, declared once: name, help, unit, labels, buckets.

`Metrics` is made once per process over an explicit registry and passed to whoever
counts something: `metrics.http.requests.labels("/api/v1/payments", "POST", "2xx").inc()`.
Names begin with `payments_`, units are in the name, and labels have few values: a
route template, a stage, a provider, a topic; never an id, a tenant, a path or a message.

To add one, put a line into the group it belongs to (`ingress`, `pipeline` or `lag`).
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, ProcessCollector

from telemetry.metrics.exposition import render, serve
from telemetry.metrics.families import Declare, Family
from telemetry.metrics.ingress import (
    GroupCommitMetrics,
    HttpMetrics,
    IdempotencyMetrics,
    PaymentMetrics,
    ProtectionMetrics,
)
from telemetry.metrics.lag import LagMetrics, RedisGroupMetrics, SlotMetrics
from telemetry.metrics.pipeline import (
    ProviderMetrics,
    RelayMetrics,
    SimulatorMetrics,
    StageMetrics,
    WebhookMetrics,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Family", "Metrics", "render", "serve"]


class Metrics:
    """The metrics of one process, by group; two over one registry are a ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        declare = Declare(registry)
        self.registry = registry
        self.http = HttpMetrics(declare)
        self.payments = PaymentMetrics(declare)
        self.group_commit = GroupCommitMetrics(declare)
        self.idempotency = IdempotencyMetrics(declare)
        self.protection = ProtectionMetrics(declare)
        self.relay = RelayMetrics(declare)
        self.stage = StageMetrics(declare)
        self.provider = ProviderMetrics(declare)
        self.webhooks = WebhookMetrics(declare)
        self.simulator = SimulatorMetrics(declare)
        self.lag = LagMetrics(declare)
        self.slots = SlotMetrics(declare)
        self.redis_groups = RedisGroupMetrics(declare)
        self.build = declare.gauges("build_info", "1, labelled with what runs.", "python")
        self.build.labels(platform.python_version()).set(1)
        ProcessCollector(namespace="payments", registry=registry)
        GCCollector(registry)
