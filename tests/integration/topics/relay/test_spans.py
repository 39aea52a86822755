"""A relay's part of a trace is seen by whoever collects spans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.topics.outbox import TRACEPARENT, Outbox
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from tests.support.topics.relays import Relays


async def test_each_message_is_a_span_from_its_recording_to_its_arrival(
    relays: Relays, outbox: Outbox
) -> None:
    """In the trace it was recorded in, below the span that recorded it."""
    spans, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    watched = replace(relays, tracer=provider.get_tracer("test"))
    async with watched.running():
        written = await outbox.write([uuid4()], rows_per_key=3)
        await eventually(lambda: len(spans.get_finished_spans()) == 3)
    _, trace_id, parent_id, _ = TRACEPARENT.split("-")
    for span, message_id in zip(spans.get_finished_spans(), written, strict=True):
        assert span.name == f"{EVENTS} publish"
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == trace_id
        assert f"{span.parent.span_id:016x}" == parent_id
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time < span.end_time
        assert dict(span.attributes or {}) == {
            "messaging.system": relays.destination.name,
            "messaging.destination.name": EVENTS,
            "messaging.message.id": str(message_id),
        }
