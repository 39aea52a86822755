"""Traces: a tracer for this process, and the W3C trace context that ties processes together.

A span always has real ids, exporter or not, so that log lines and `traceparent`
headers can name it. No global provider is set: OpenTelemetry keeps the current span
in a context variable that any tracer shares, so a `Tracing` can be made, used and
shut down by whoever composes the process, and two can live side by side in a test.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_W3C: Final = TraceContextTextMapPropagator()
_TRACES_PATH: Final = "/v1/traces"  # OTLP/HTTP, opentelemetry.io/docs/specs/otlp
# A collector that is away must not hold up a process that has 30 s to drain.
_EXPORT_TIMEOUT_SECONDS: Final = 3.0
_SHUTDOWN_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Tracing:
    """A process's tracer, and what is behind it, to be shut down once."""

    tracer: Tracer
    provider: TracerProvider
    exporter: OTLPSpanExporter | None

    def shutdown(self, within_seconds: float = _SHUTDOWN_SECONDS) -> None:
        """Export what is buffered, and stop.

        Blocks until then: call it when the event loop has ended. A collector that is away or
        hangs is given up after `within_seconds` and the time of one request.
        """
        # A thread of its own, because the SDK tries each batch to its end whatever the time.
        flushing = threading.Thread(target=self.provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(within_seconds)
        if flushing.is_alive() and self.exporter is not None:
            self.exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it bare
            flushing.join(_EXPORT_TIMEOUT_SECONDS)


def configure(process: str, otlp_endpoint: str = "", sample_ratio: float = 1.0) -> Tracing:
    """A tracer for `process` (`api`, `relay-kafka`, `agents-charge`, ...).

    `otlp_endpoint` is a collector's OTLP/HTTP address (`http://localhost:4318`, with or
    without `/v1/traces`); empty exports nothing. `sample_ratio`, 0.0 to 1.0, is the share
    of new traces kept; a span with a remote parent follows that parent's decision.
    """
    # Resource(...) and not Resource.create(...): the latter reads the environment.
    resource = Resource({"service.namespace": "payments", "service.name": f"payments-{process}"})
    # Nothing to export to, nothing to record: a span keeps its ids and costs a fifth.
    sampler = ParentBasedTraceIdRatio(sample_ratio) if otlp_endpoint else ParentBased(ALWAYS_OFF)
    provider = TracerProvider(
        resource=resource,
        sampler=sampler,
        shutdown_on_exit=False,
    )
    exporter = None
    if otlp_endpoint:
        exporter = OTLPSpanExporter(_traces_url(otlp_endpoint), timeout=_EXPORT_TIMEOUT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("payments"), provider, exporter)


def current_traceparent() -> str | None:
    """The current span as a W3C `traceparent`, to be stored or sent; None outside a span."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def remote_parent(traceparent: str | None) -> Context:
    """The context to start a span in, so that it continues the trace `traceparent` names.

    None, and whatever is not a `traceparent`, give a context in which a new trace begins.
    """
    carrier = {"traceparent": traceparent} if traceparent else {}
    return _W3C.extract(carrier, context=Context())


def _traces_url(endpoint: str) -> str:
    trimmed = endpoint.rstrip("/")
    return trimmed if trimmed.endswith(_TRACES_PATH) else trimmed + _TRACES_PATH
