"""Where a test's servers listen: on this machine, with TLS if they are to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from process.listening import Entrance, bound
from process.serving import Listen
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from process.listening import ServerTls


def entrance_at(
    port: int = 0,
    *,
    tls: ServerTls | None = None,
    metrics: Metrics | None = None,
    handshakes_max: int = 100,
) -> Entrance:
    """A free port for 0."""
    counted = metrics or Metrics(CollectorRegistry())
    return Entrance(
        listener=bound("127.0.0.1", port, 15.0),
        tls=tls,
        handshake_s=60.0,
        handshakes_max=handshakes_max,
        certificate_refused=counted.certificate_refused,
    )


def listen_at(port: int = 0, *, connections_max: int = 100, **times: float) -> Listen:
    """Likewise, with five seconds for whatever no other time is given for."""
    names = ("read_timeout", "write_timeout", "idle_timeout", "drain")
    times = {f"{name}_seconds": 5.0 for name in names} | times
    return Listen(host="127.0.0.1", port=port, connections_max=connections_max, tls=None, **times)
