"""Every metric of the project, declared once: name, help, unit, labels, buckets.

`Metrics` is made once per process over an explicit registry and passed to whoever
counts something: `metrics.http.requests.labels("/api/v1/payments", "POST", "2xx").inc()`.
Names begin with `payments_`, units are in the name, and labels have few values: a
route template, a stage, a provider, a topic; never an id, a tenant, a path or a message.

A counter with labels has no series until it first counts, and what is not there does not grow:
its first count would be seen by no `rate` or `increase`. Where the values are known, `begin` of
its group has whoever counts start at zero.

To add one, put a line into the group it belongs to (`ingress`, `pipeline` or `lag`).
"""

from telemetry.metrics.declared import Metrics
from telemetry.metrics.exposition import render, serve
from telemetry.metrics.families import Family

__all__ = ["Family", "Metrics", "render", "serve"]
