"""How values read on a page: times, ages, sizes, ids, and which colour a state has."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_KIBI: Final = 1024
# Below it a tenth says something.
_TENTHS_BELOW: Final = 10
_GROUPS: Final = 8
_ID_LENGTH: Final = 36
# What an address begins with, before it comes to what it is about.
_API: Final = "/api/v1/"
_STREAMS: Final = "/console/streams/"

# Good and over, under way, to be looked at, and wrong; all others are plain.
_TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("completed", "delivered", "enabled", "well", "ok", "done", "won", "succeeded", "active",
         "redriven", "resolved", "captured"),
        "good",
    ),
    **dict.fromkeys(
        ("pending", "processing", "authorized", "retry", "answer", "worker", "capture", "running",
         "open"),
        "busy",
    ),
    **dict.fromkeys(
        ("unknown", "review", "warning", "paused", "limited", "partially_refunded", "refunded",
         "rewind", "parked", "needs_response", "under_review", "circuit_open", "provider"),
        "warn",
    ),
    **dict.fromkeys(
        ("failed", "stopped", "stalled", "disabled", "unreachable", "refusing_credentials", "lost",
         "declined", "dead_letter", "missing", "failing", "unresolvable"),
        "bad",
    ),
}  # fmt: skip


def instant(value: str | datetime) -> datetime:
    """A time, from JSON or as it is."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def clock(value: str | datetime) -> str:
    """A time to the second, in UTC."""
    return f"{instant(value).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def last_part(text: str) -> str:
    """The hour and minute of a time's text."""
    return text.rsplit(maxsplit=1)[-1][:5]


def machine_time(value: str | datetime) -> str:
    """A time whole, for machines."""
    return instant(value).astimezone(UTC).isoformat()


def ago(value: str | datetime, now: datetime) -> str:
    """How long ago a time was, or in how long it will be."""
    seconds = (now - instant(value)).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest unit that fits; what is not known is a dash."""
    if seconds is None:
        return "\u2013"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{number(seconds / unit)} {name}"
    return f"{number(seconds)} s"


def took(attempt: Mapping[str, str]) -> float:
    """How many seconds a try took that has ended."""
    return (instant(attempt["finished_at"]) - instant(attempt["started_at"])).total_seconds()


def number(value: float | None) -> str:
    """A figure with its thousands apart, and a tenth where that says something."""
    if value is None:
        return "\u2013"
    if value < _TENTHS_BELOW and not float(value).is_integer():
        return f"{value:.1f}"
    return f"{value:,.0f}".replace(",", "\u202f")


def size(count: int | None) -> str:
    """Bytes, in the largest unit that fits."""
    if count is None:
        return "\u2013"
    power = min(3, int(math.log(count, _KIBI))) if count else 0
    return f"{number(count / _KIBI**power)} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def short(identifier: str) -> str:
    """The end of an id, which tells those of one time apart."""
    return f"\u2026{identifier[-8:]}"


def subject(target: str) -> str:
    """What an address is about: the kind, and the end of the id."""
    path = target.removeprefix(_API).removeprefix(_STREAMS).strip("/")
    return " ".join(part if len(part) < _ID_LENGTH else short(part) for part in path.split("/"))


def tone(state: str) -> str:
    """The colour of a state."""
    return _TONES.get(state, "plain")


def spoken(name: str) -> str:
    """A name of ours as people write it."""
    text = name.replace("_", " ").replace(".", " ")
    return text[:1].upper() + text[1:]


def indented(value: object) -> str:
    """JSON to be read."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def hexdump(data: bytes) -> str:
    """Bytes in lines of sixteen: where, what, and what of it is text."""
    lines = []
    for start in range(0, len(data), 2 * _GROUPS):
        part = data[start : start + 2 * _GROUPS]
        text = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in part)  # noqa: PLR2004 - ASCII
        lines.append(f"{start:06x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "ago": ago,
    "clock": clock,
    "duration": duration,
    "hexdump": hexdump,
    "indented": indented,
    "last_part": last_part,
    "machine_time": machine_time,
    "number": number,
    "short": short,
    "size": size,
    "spoken": spoken,
    "subject": subject,
    "tone": tone,
    "took": took,
}


def new_key() -> str:
    """What one form stands for, however often it is sent."""
    return str(uuid4())
