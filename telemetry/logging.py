"""One JSON object a line on stderr, from structlog and from stdlib logging alike.

Every line has `timestamp` (RFC 3339, UTC), `level`, `process` and `message`; the
`trace_id` and `span_id` of the current span; and whatever was bound to the context
(`request_id`, `payment_id`, ...). No line holds a secret: what a caller says passes
`telemetry.redaction`. To log never raises and never waits, whatever is said and whatever
has become of stderr: `telemetry.log_lines` writes.
"""

from __future__ import annotations

import atexit
import io
import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final

import orjson
import structlog
from opentelemetry import trace

from telemetry.log_lines import LogLines
from telemetry.redaction import redact_event

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_LEVEL_NAMES: Final = {"exception": "error", "warn": "warning", "fatal": "critical"}
_JSON_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
# These narrate their inner life at INFO, once a poll, a rebalance or a request; our own lines
# say the same once and with a payment id. They speak from WARNING on, one level up at debug.
_TALKATIVE: Final = ("aiohttp.access", "aiokafka", "asyncio", "faust", "kafka", "mode", "urllib3")


# For what is left to be written when a process ends; a reader that sleeps is not waited for.
_FLUSH_S: Final = 1.0


def configure(level: str, process: str, stream: BinaryIO | None = None) -> None:
    """Send this process's logs to `stream` (stderr when None), from `level` up.

    `level` is debug, info, warning, error or critical, in any case; anything else is a
    ValueError. Call it once, before the first line is logged.
    """
    threshold = _LEVELS.get(level.lower())
    if threshold is None:
        message = f"log level {level!r} is none of {', '.join(_LEVELS)}"
        raise ValueError(message)
    structlog.configure(
        processors=[_rendered_for(process)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_LoggerFactory(LogLines(stream or _stderr(), _tell_lost)),
        cache_logger_on_first_use=True,
    )
    atexit.register(flush)
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(threshold)
    quiet = logging.INFO if threshold == logging.DEBUG else max(threshold, logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(quiet)
    # A collector that is away is said once a batch, not once an attempt as well.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)


def flush(within_s: float = _FLUSH_S) -> None:
    """Wait until what was logged is written, and no longer than that."""
    if (lines := _lines()) is not None:
        lines.flush(within_s)


def lines_lost() -> int:
    """How many lines could not be written since the process began."""
    lines = _lines()
    return 0 if lines is None else lines.lost


def say(sentence: str) -> None:
    """Tell a person on stderr, in plain words; as little as the log does this wait or raise."""
    if (lines := _lines()) is not None:
        lines.write(f"{sentence}\n".encode(errors="backslashreplace"))
    elif sys.__stderr__ is not None:
        sys.__stderr__.write(f"{sentence}\n")


class StandardError(io.TextIOBase):
    """What libraries print and Python itself says, line by line on the way of the log.

    Faust's thread tells of its crash there before it tells anybody else.
    """

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            say(line)
        return len(text)


class _Logger:
    """What structlog hands a rendered line to."""

    def __init__(self, lines: LogLines) -> None:
        self._write = lines.write

    def msg(self, line: bytes) -> None:
        self._write(line + b"\n")

    debug = info = warning = error = critical = msg


@dataclass(frozen=True, slots=True)
class _LoggerFactory:
    """Makes loggers, and keeps for the process what they write to."""

    lines: LogLines

    def __call__(self, *_: object) -> _Logger:
        return _Logger(self.lines)


def _lines() -> LogLines | None:
    factory = structlog.get_config()["logger_factory"]
    return factory.lines if isinstance(factory, _LoggerFactory) else None


def _stderr() -> io.FileIO | None:
    """A stream of our own, so that a write that hangs holds no lock of `sys.stderr`."""
    return None if sys.stderr is None else io.FileIO(sys.stderr.fileno(), "wb", closefd=False)


def _tell_lost(count: int) -> None:
    structlog.get_logger().warning("lines of this log were lost", lost=count)


def _rendered_for(process: str) -> Processor:
    """One processor and short: with the hand-over to the writer it costs 6 microseconds a line."""

    def rendered(logger: WrappedLogger, level: str, event: EventDict) -> bytes:
        head = {"timestamp": datetime.now(UTC), "level": _LEVEL_NAMES.get(level, level)}
        head["process"] = process
        try:
            return _line(head, structlog.processors.format_exc_info(logger, level, event))
        except Exception as error:  # noqa: BLE001 - what is said may be anything: it must not end who says it
            why = {"message": "a line could not be rendered", "error": type(error).__name__}
            return _as_json(head | why)

    return rendered


def _line(head: dict[str, object], event: EventDict) -> bytes:
    context = structlog.contextvars.get_contextvars()
    message = event.pop("event", "")
    said = redact_event({"message": message, **context, **event})
    head = head | _trace_ids()
    # In this order, and what a caller says cannot replace the head.
    return _as_json(head | said | head)


def _trace_ids() -> dict[str, str]:
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def _as_json(line: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=_JSON_OPTIONS)
    except TypeError:  # a lone surrogate or an integer beyond 64 bits: slower, but it is said
        return json.dumps(line, default=str, skipkeys=True).encode()


class _ToStructlog(logging.Handler):
    """Hands records of stdlib logging to structlog, so that both have one format."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit must not end the caller
            message = str(record.msg)
        # structlog knows the five levels; what lies between is said at the lower one.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        self._log.log(level, message, logger=record.name, exc_info=record.exc_info or None)
