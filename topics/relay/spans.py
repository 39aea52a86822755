"""The relay's part of a trace: from when a row was recorded until the sink had it.

Of rows that were recorded in a trace, and only where somebody collects spans: the relay passes
tens of thousands of rows a second.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanKind, Tracer

from telemetry.tracing import Trace, remote_parent
from topics.contracts.envelope import OutboxRow, unix_ms
from topics.relay.sinks.sink import OutgoingMessage

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Spans:
    """Tells of what a sink has, in OpenTelemetry's words for messaging."""

    tracer: Tracer
    sink: str

    def arrived(self, messages: Iterable[OutgoingMessage], now_s: float) -> None:
        """These were acknowledged, `now_s` seconds after 1970."""
        for message in messages:
            row = message.row
            if row.traceparent is None:
                continue
            topic = row.aggregatetype.decode()
            span = self.tracer.start_span(
                f"{topic} publish",
                context=remote_parent(_trace_of(row)),
                kind=SpanKind.PRODUCER,
                attributes={
                    "messaging.system": self.sink,
                    "messaging.destination.name": topic,
                    "messaging.message.id": row.id.decode(),
                },
                start_time=unix_ms(row.recorded_at) * _NS_PER_MS,
            )
            span.end(int(now_s * _NS_PER_S))


def _trace_of(row: OutboxRow) -> Trace | None:
    state = row.tracestate.decode() if row.tracestate else None
    return Trace.of(row.traceparent.decode() if row.traceparent else None, state)
