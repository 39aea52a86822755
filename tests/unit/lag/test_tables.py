"""`payments lag` shows every measured thing once, in units people read."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli.lag import duration, size, tables
from lag import (
    GroupLag,
    GroupState,
    ProviderReport,
    RedisGroupLag,
    SlotLag,
    StreamsReport,
    Unavailable,
    WaitingWork,
)

EMPTY = StreamsReport(datetime(2026, 1, 1, tzinfo=UTC), (), (), (), (), ())
FULL = StreamsReport(
    measured_at=datetime(2026, 1, 1, tzinfo=UTC),
    groups=(
        GroupLag("payments.charge", "payments.charges", GroupState.STALLED, 2, 1234, 75.0, 10.5,
                 None, ()),
    ),
    slots=(SlotLag("payments_kafka", active=True, wal_status="reserved", bytes=2048, seconds=0.5,
                   safe_wal_bytes=None),),
    redis_groups=(RedisGroupLag("payments.events", "webhooks", 1, None, 3, None),),
    waiting=(WaitingWork("dead_letters", 4, 7300.0),),
    unavailable=(Unavailable("kafka", "no broker there"),),
    providers=(
        ProviderReport("paypal", "well", "charge", "", datetime(2025, 12, 31, 23, tzinfo=UTC)),
        ProviderReport("stripe", "unreachable", "refund", "no connection",
                       datetime(2025, 12, 31, 23, 59, tzinfo=UTC)),
    ),
)  # fmt: skip


def printed(report: StreamsReport) -> list[list[str]]:
    """The words of each line."""
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as capture:
        console.print(tables(report))
    return [line.split() for line in capture.get().splitlines()]


def test_every_part_is_a_row() -> None:
    """Unknown figures are dashes, known ones have units."""
    lines = printed(FULL)
    for row in (
        "payments.charge payments.charges stalled 2 1,234 1 m 15 s 10.5 -",
        "payments_kafka active reserved 2.0 KiB 0.5 s -",
        "webhooks payments.events 1 - 3 -",
        "dead_letters 4 2 h 1 m",
        "paypal well charge - 1 h 0 m",
        "stripe unreachable refund no connection 1 m 0 s",
        "kafka unavailable: no broker there",
    ):
        assert row.split() in lines


def test_what_is_empty_is_left_out() -> None:
    """A table without rows says nothing."""
    assert printed(EMPTY) == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 m 0 s"),
        (200.4, "3 m 20 s"),
        (18120.0, "5 h 2 m"),
    ],
)
def test_durations(seconds: float | None, expected: str) -> None:
    """Two figures that matter."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (5 * 1024**5, "5120.0 TiB"),
    ],
)
def test_sizes(count: int | None, expected: str) -> None:
    """The largest unit that leaves a whole number in front."""
    assert size(count) == expected
