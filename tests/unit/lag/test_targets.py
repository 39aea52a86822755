"""What lag is measured of follows from the settings."""

from __future__ import annotations

import pytest

from lag import slots_read, tables_read
from process.settings import Settings


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what a test sets."""
    for name in ("SOURCE", "SINKS"):
        monkeypatch.delenv(f"PAYMENTS_OUTBOX_{name}", raising=False)


@pytest.mark.parametrize(
    ("sinks", "source", "slots", "tables"),
    [
        ("", "", ("payments_kafka", "payments_redis"), {}),
        ("redis", "wal", ("payments_redis",), {}),
        ("none", "wal", (), {}),
        ("", "table", (), {"kafka": "payments_kafka", "redis": "payments_redis"}),
        ("redis , kafka", "table", (), {"kafka": "payments_kafka", "redis": "payments_redis"}),
        ("kafka", "table", (), {"kafka": "payments_kafka"}),
    ],
)
def test_a_sink_is_missed_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
    sinks: str,
    source: str,
    slots: tuple[str, ...],
    tables: dict[str, str],
) -> None:
    """One that was given up is not; one whose relay reads the table has no slot to miss."""
    monkeypatch.setenv("PAYMENTS_OUTBOX_SINKS", sinks)
    monkeypatch.setenv("PAYMENTS_OUTBOX_SOURCE", source)
    outbox = Settings().outbox
    assert slots_read(outbox.source, outbox.names) == slots
    assert tables_read(outbox.source, outbox.names) == tables


@pytest.mark.parametrize("sinks", ["kafak", "kafka,none", ",", "kafka,,redis"])
def test_a_sink_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, sinks: str) -> None:
    """A typing error would otherwise silence its alerts."""
    monkeypatch.setenv("PAYMENTS_OUTBOX_SINKS", sinks)
    with pytest.raises(ValueError, match="kafka, redis"):
        Settings()
