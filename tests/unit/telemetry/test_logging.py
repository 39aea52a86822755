"""Every line is one JSON object of the same shape, whoever wrote it."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import structlog

from telemetry import logging as telemetry_logging
from telemetry import tracing


class Lines:
    """What was logged, parsed."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def read(self) -> list[dict[str, object]]:
        telemetry_logging.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def only(self) -> dict[str, object]:
        (line,) = self.read()
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logs of process `api` from level info; the previous configuration comes back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    captured = Lines()
    telemetry_logging.configure("info", "api", captured.stream)
    with structlog.contextvars.bound_contextvars():
        yield captured
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_the_head_and_what_was_said(lines: Lines) -> None:
    """Timestamp in UTC, level, process, message, and the caller's own fields."""
    structlog.get_logger().info("payment accepted", payment_id=UUID(int=7), amount_minor=1000)
    line = lines.only()
    stamp = datetime.fromisoformat(str(line.pop("timestamp")))
    assert stamp.tzinfo is not None
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "process": "api",
        "message": "payment accepted",
        "payment_id": "00000000-0000-0000-0000-000000000007",
        "amount_minor": 1000,
    }


def test_a_caller_cannot_replace_the_head(lines: Lines) -> None:
    """A field named as the head's is dropped, not believed."""
    structlog.get_logger().info("said", level="debug", process="other", timestamp="never")
    line = lines.only()
    assert (line["level"], line["process"], line["message"]) == ("info", "api", "said")
    assert line["timestamp"] != "never"


def test_a_line_names_the_current_span(lines: Lines) -> None:
    """The ids are those of the span, in W3C's notation, and absent outside one."""
    tracing_ = tracing.configure("api")
    with tracing_.tracer.start_as_current_span("request") as span:
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    tracing_.shutdown()
    inside, outside = lines.read()
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert inside["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in outside


def test_what_is_bound_to_the_context_is_on_every_line(lines: Lines) -> None:
    """A request's ids are bound once."""
    structlog.contextvars.bind_contextvars(request_id="r1", payment_id="p1")
    structlog.get_logger().info("first")
    logging.getLogger("some.library").warning("second")
    assert [(x["request_id"], x["payment_id"]) for x in lines.read()] == [("r1", "p1")] * 2


def test_stdlib_lines_have_the_same_shape_and_their_logger(lines: Lines) -> None:
    """A library's warning is one of our lines, traceback included."""
    try:
        raise KeyError("gone")  # noqa: TRY301 - a traceback is what is wanted
    except KeyError:
        logging.getLogger("some.library").exception("lost %s", "it")
    line = lines.only()
    assert (line["level"], line["process"], line["message"]) == ("error", "api", "lost it")
    assert line["logger"] == "some.library"
    assert "KeyError: 'gone'" in str(line["exception"])


@pytest.mark.parametrize("name", ["faust", "mode.worker", "aiokafka.consumer", "aiohttp.access"])
def test_talkative_libraries_speak_from_warning_on(lines: Lines, name: str) -> None:
    """Their INFO would drown ours."""
    logging.getLogger(name).info("one more poll")
    logging.getLogger(name).warning("trouble")
    assert lines.only()["message"] == "trouble"


def test_the_level_decides_what_is_said(lines: Lines) -> None:
    """Below the level nothing is written; `exception` is an error."""
    log = structlog.get_logger()
    log.debug("unsaid")
    try:
        raise ValueError("bad")  # noqa: TRY301 - a traceback is what is wanted
    except ValueError:
        log.exception("said")
    line = lines.only()
    assert line["level"] == "error"
    assert "ValueError: bad" in str(line["exception"])


def test_no_secret_is_written(lines: Lines) -> None:
    """Not in a field, not in the context, not in the text of an exception."""
    structlog.contextvars.bind_contextvars(authorization="Bearer abc.def")
    try:
        raise ValueError("rejected key sk_live_1234567890")  # noqa: TRY301 - its text is what is wanted
    except ValueError:
        structlog.get_logger().exception("failed", card="4242424242424242")
    telemetry_logging.flush()
    text = lines.stream.getvalue()
    for secret in (b"abc.def", b"sk_live_1234567890", b"4242424242424242"):
        assert secret not in text


@pytest.mark.parametrize(
    "value", ["\ud800", 2**70, {1: 2}, b"bytes", ValueError("x")], ids=lambda v: type(v).__name__
)
def test_a_value_json_does_not_know_is_said_all_the_same(lines: Lines, value: object) -> None:
    """Logging never raises for what it is given."""
    structlog.get_logger().info("odd", value=value)
    assert lines.only()["message"] == "odd"


class Unspeakable:
    """Has no words for itself."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def test_what_cannot_be_said_at_all_is_told_of(lines: Lines) -> None:
    """Who logs it goes on, and the line says that it should have said more."""
    structlog.get_logger().info("odd", value=Unspeakable())
    line = lines.only()
    assert (line["level"], line["message"]) == ("info", "a line could not be rendered")
    assert "error" in line


def test_a_record_whose_arguments_do_not_fit_is_said_without_them(lines: Lines) -> None:
    """A library's mistake in a message is no reason to lose it, nor to raise."""
    # Not by way of the logger: pytest listens there, too, and takes offence.
    (ours,) = (
        each
        for each in logging.getLogger().handlers
        if type(each).__module__ == telemetry_logging.__name__
    )
    ours.handle(logging.LogRecord("x", logging.WARNING, "", 0, "lost %d of %d", ("some",), None))
    ours.handle(logging.LogRecord("x", 35, "", 0, "at a level of its own", None, None))
    first, second = lines.read()
    assert (first["level"], first["message"]) == ("warning", "lost %d of %d")
    assert (second["level"], second["message"]) == ("warning", "at a level of its own")


def test_an_unknown_level_is_refused() -> None:
    """A misspelt level must not silence a process."""
    with pytest.raises(ValueError, match="'loud'"):
        telemetry_logging.configure("loud", "api")
