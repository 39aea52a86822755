"""Times and durations on the command line: what is none is said so, and so is what is absurd."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from cli.durations import Duration
from cli.instants import Instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T13:00:00+01:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("1900-01-01", datetime(1900, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read(text: str, instant: datetime) -> None:
    """Without a zone it is UTC."""
    assert Instant().convert(text, None, None) == instant


@pytest.mark.parametrize(
    "text", ["soon", "2026-02-30", "0001-01-01", "1899-12-31", "3000-01-01", "9999-12-31T23:59:59"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nothing is counted from it, which may be no time."""
    with pytest.raises(click.BadParameter):
        Instant().convert(text, None, None)


def test_a_duration_is_read() -> None:
    """As settings are; what is one stays."""
    assert Duration().convert("1m30s", None, None) == timedelta(seconds=90)
    assert Duration().convert(timedelta(hours=1), None, None) == timedelta(hours=1)


@pytest.mark.parametrize("text", ["soon", "876601h", "1000000000000h", f"{'9' * 400}h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A century is the most."""
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)
