"""Traces: a tracer for this process, and the W3C trace context that ties processes together.

A span always has real ids, exporter or not, so that log lines and `traceparent`
headers can name it; without an exporter it is nothing else, and OpenTelemetry's SDK is not
even imported. No global provider is set: OpenTelemetry keeps the current span
in a context variable that any tracer shares, so a `Tracing` can be made, used and
shut down by whoever composes the process, and two can live side by side in a test.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from random import getrandbits
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, SpanContext, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, TraceState

_W3C: Final = TraceContextTextMapPropagator()
# What W3C has everybody carry on at least; more would lie in each message.
_STATE_LENGTH_MAX: Final = 512
_TRACES_PATH: Final = "/v1/traces"  # OTLP/HTTP, opentelemetry.io/docs/specs/otlp
# A collector that is away must not hold up a process that has 30 s to drain.
_EXPORT_TIMEOUT_SECONDS: Final = 3.0
_SHUTDOWN_SECONDS: Final = 3.0


class Trace(NamedTuple):
    """Where in which trace something was said, as W3C Trace Context writes it down.

    `state` is what tracing systems keep of their own (`tracestate`), None without any.
    """

    parent: str
    state: str | None = None

    @classmethod
    def of(cls, parent: str | None, state: str | None = None) -> Trace | None:
        """None without a parent: a state alone says nothing."""
        return cls(parent, state) if parent else None

    @classmethod
    def carried_by(cls, headers: Mapping[str, str]) -> Trace | None:
        return cls.of(headers.get("traceparent"), headers.get("tracestate"))


@dataclass(frozen=True, slots=True)
class Export:
    """What the spans of a process go through on their way to a collector."""

    provider: TracerProvider
    exporter: OTLPSpanExporter

    def shutdown(self, within_seconds: float) -> None:
        """Export what is buffered, and stop."""
        # A thread of its own, because the SDK tries each batch to its end whatever the time.
        flushing = threading.Thread(target=self.provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(within_seconds)
        if flushing.is_alive():
            self.exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it bare
            flushing.join(_EXPORT_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Tracing:
    """A process's tracer, and what is behind it if anything is, to be shut down once."""

    tracer: Tracer
    export: Export | None = None

    def shutdown(self, within_seconds: float = _SHUTDOWN_SECONDS) -> None:
        """Export what is buffered, and stop.

        Blocks until then: call it when the event loop has ended. A collector that is away or
        hangs is given up after `within_seconds` and the time of one request.
        """
        if self.export is not None:
            self.export.shutdown(within_seconds)


def configure(process: str, otlp_endpoint: str = "", sample_ratio: float = 1.0) -> Tracing:
    """A tracer for `process` (`api`, `relay-kafka`, `agents-charge`, ...).

    `otlp_endpoint` is a collector's OTLP/HTTP address (`http://localhost:4318`, with or
    without `/v1/traces`); empty exports nothing. `sample_ratio`, 0.0 to 1.0, is the share
    of new traces kept; a span with a remote parent follows that parent's decision.
    """
    if not otlp_endpoint:
        return Tracing(_NamesOnly())
    export = _export(process, otlp_endpoint, sample_ratio)
    return Tracing(export.provider.get_tracer("payments"), export)


def _export(process: str, otlp_endpoint: str, sample_ratio: float) -> Export:
    # Some 15 MB and half a second of imports, for those who have a collector.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    # Resource(...) and not Resource.create(...): the latter reads the environment.
    resource = Resource({"service.namespace": "payments", "service.name": f"payments-{process}"})
    sampler = ParentBasedTraceIdRatio(sample_ratio)
    provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(_traces_url(otlp_endpoint), timeout=_EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Export(provider, exporter)


class _NamesOnly(Tracer):
    """Spans that nobody will read: their ids, in the trace and under the flags of their parent."""

    def start_span(
        self,
        name: str,  # noqa: ARG002 - who records nothing needs no name, kind or time
        context: Context | None = None,
        *_unrecorded: object,
        **_unread: object,
    ) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        return NonRecordingSpan(
            SpanContext(
                trace_id=parent.trace_id if parent.is_valid else _random_id(128),
                span_id=_random_id(64),
                is_remote=False,
                trace_flags=parent.trace_flags,
                trace_state=parent.trace_state,
            )
        )

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # the API's can also decorate; nobody does
        self,
        name: str,
        context: Context | None = None,
        *_unrecorded: object,
        **_unread: object,
    ) -> Iterator[Span]:
        span = self.start_span(name, context)
        token = attach(trace.set_span_in_context(span))
        try:
            yield span
        finally:
            detach(token)


def _random_id(bits: int) -> int:
    """Never 0, which is no id."""
    return getrandbits(bits) or 1


def current_trace() -> Trace | None:
    """Where the current span is, to be stored or sent; None outside a span."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return Trace(parent, _written(span.trace_state) if span.trace_state else None)


def current_traceparent() -> str | None:
    """The current span as a W3C `traceparent` alone, for those outside."""
    current = current_trace()
    return current.parent if current else None


def _written(state: TraceState) -> str | None:
    """As much of it as is carried on: entries are dropped whole, and from the end, as W3C asks."""
    entries = [f"{key}={value}" for key, value in state.items()]
    while entries and len(",".join(entries)) > _STATE_LENGTH_MAX:
        entries.pop()
    return ",".join(entries) or None


def remote_parent(said: Trace | None) -> Context:
    """The context to start a span in, so that it continues the trace in which something was said.

    None, and whatever is no `traceparent`, give a context in which a new trace begins.
    """
    carrier = {}
    if said is not None:
        carrier["traceparent"] = said.parent
        if said.state is not None:
            carrier["tracestate"] = said.state
    return _W3C.extract(carrier, context=Context())


def _traces_url(endpoint: str) -> str:
    trimmed = endpoint.rstrip("/")
    return trimmed if trimmed.endswith(_TRACES_PATH) else trimmed + _TRACES_PATH
