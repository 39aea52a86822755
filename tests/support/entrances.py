"""Where a test's servers listen: on this machine, with TLS if they are to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from process.listening import Entrance, bound
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from process.listening import ServerTls


def entrance_at(
    port: int = 0, *, tls: ServerTls | None = None, metrics: Metrics | None = None
) -> Entrance:
    """A free port for 0."""
    counted = metrics or Metrics(CollectorRegistry())
    return Entrance(
        listener=bound("127.0.0.1", port, 15.0),
        tls=tls,
        handshake_s=5.0,
        certificate_refused=counted.certificate_refused,
    )
