"""A trace goes on across processes, and ids exist without a collector."""

import socket
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry import tracing
from telemetry.tracing import Trace, Tracing, current_trace, current_traceparent, remote_parent
from tests.support.collector import Collector, collecting

# What the SDK exports in one request.
_BATCH_MAX = 512
_BATCHES = 4
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def traced() -> Iterator[Tracing]:
    """A tracer without an exporter."""
    made = tracing.configure("api")
    yield made
    made.shutdown()


def test_there_is_no_traceparent_outside_a_span() -> None:
    """Nothing is invented."""
    assert current_traceparent() is None


def test_the_current_span_is_named_in_w3c_form(traced: Tracing) -> None:
    """version-trace-span-flags; not sampled, for there is nowhere to export to."""
    with traced.tracer.start_as_current_span("request") as span:
        made = current_traceparent()
    context = span.get_span_context()
    assert made is not None
    version, trace_id, span_id, flags = made.split("-")
    assert (version, trace_id, span_id) == (
        "00",
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    )
    assert not int(flags, 16) & 1
    assert not span.is_recording()


def test_a_remote_parent_is_continued(traced: Tracing) -> None:
    """Same trace, a new span."""
    with traced.tracer.start_as_current_span("stage", context=remote_parent(Trace(PARENT))):
        made = current_traceparent()
    assert made is not None
    assert made.split("-")[1] == PARENT.split("-")[1]
    assert made.split("-")[2] != PARENT.split("-")[2]


@pytest.mark.parametrize("given", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_traceparent_begins_a_new_trace(traced: Tracing, given: str) -> None:
    """Even inside another span: the work belongs to whoever caused it, or to nobody."""
    with traced.tracer.start_as_current_span("poll") as outer:
        context = remote_parent(Trace(given))
        with traced.tracer.start_as_current_span("stage", context=context) as span:
            pass
    assert span.get_span_context().is_valid
    assert span.get_span_context().trace_id != outer.get_span_context().trace_id


def test_what_was_said_in_no_trace_begins_one(traced: Tracing) -> None:
    assert Trace.of(None, "vendor=1") is None
    with traced.tracer.start_as_current_span("stage", context=remote_parent(None)) as span:
        assert span.get_span_context().is_valid


def test_a_tracing_systems_state_goes_on(traced: Tracing) -> None:
    """As it came, in its order, below spans of ours."""
    said = Trace(PARENT, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
    with (
        traced.tracer.start_as_current_span("stage", context=remote_parent(said)),
        traced.tracer.start_as_current_span("call"),
    ):
        below = current_trace()
    assert below is not None
    assert below.parent.split("-")[1] == PARENT.split("-")[1]
    assert below.state == said.state


def test_a_state_that_is_none_costs_its_trace_nothing(traced: Tracing) -> None:
    """What cannot be read is left out (W3C Trace Context, 3.3.1.1), and the trace goes on."""
    said = Trace(PARENT, "no equals sign")
    with traced.tracer.start_as_current_span("stage", context=remote_parent(said)):
        made = current_trace()
    assert made is not None
    assert made.parent.split("-")[1] == PARENT.split("-")[1]
    assert made.state is None


def test_a_long_state_loses_whole_entries_at_its_end(traced: Tracing) -> None:
    """What is carried on is bounded, for it lies in each message: 512 characters, as W3C asks."""
    entries = [f"vendor{number}={'x' * 91}" for number in range(10, 20)]
    said = Trace(PARENT, ",".join(entries))
    with traced.tracer.start_as_current_span("stage", context=remote_parent(said)):
        made = current_trace()
    assert made is not None
    assert made.state == ",".join(entries[:5])


def test_an_unsampled_trace_still_has_ids() -> None:
    """So that log lines can be joined although no span is kept."""
    made = tracing.configure("api", sample_ratio=0.0)
    with made.tracer.start_as_current_span("request") as span:
        assert not span.is_recording()
        assert current_traceparent() is not None
    made.shutdown()


def test_no_global_provider_is_set(traced: Tracing) -> None:
    """Whoever was not handed a tracer has none."""
    with traced.tracer.start_as_current_span("request"):
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_a_trace_keeps_the_decision_it_came_with(traced: Tracing) -> None:
    """Whoever began it and samples it is told so by whoever continues it."""
    with traced.tracer.start_as_current_span("stage", context=remote_parent(Trace(PARENT))):
        made = current_traceparent()
        with traced.tracer.start_as_current_span("call"):
            below = current_traceparent()
    assert made is not None
    assert below is not None
    assert made.split("-")[1::2] == below.split("-")[1::2] == PARENT.split("-")[1::2]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as opened:
        yield opened


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_spans_reach_a_collector_at_the_latest_on_shutdown(
    collector: Collector, suffix: str
) -> None:
    """A drained process leaves no span behind."""
    made = tracing.configure("api", f"{collector.url}{suffix}")
    with made.tracer.start_as_current_span("request"):
        pass
    made.shutdown()
    ((path, body),) = collector.received
    (spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {a.key: a.value.string_value for a in spans.resource.attributes}
    assert path == "/v1/traces"
    assert names["service.name"] == "payments-api"
    assert spans.scope_spans[0].spans[0].name == "request"


def requests_to(deaf: socket.socket) -> int:
    """How many connections were made to it that it never took."""
    deaf.settimeout(0)
    count = 0
    while True:
        try:
            deaf.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_collector_that_hangs_does_not_hold_up_the_shutdown() -> None:
    """It takes connections and never answers: spans are given up, the process is not."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        made = tracing.configure("api", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        for _ in range(_BATCHES * _BATCH_MAX):
            with made.tracer.start_as_current_span("request"):
                pass
        made.shutdown(within_seconds=0.1)
        assert requests_to(deaf) < _BATCHES
