"""`payments archive` as an operator runs it, with a date that is right and with one that is not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from store.housekeeping import keep_house

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress

_PARTS = "SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY inhrelid"


@pytest.mark.parametrize("ahead", [timedelta(days=180), timedelta(hours=-23)])
async def test_a_date_that_is_not_over_is_refused(
    database: DatabaseAddress,
    pool: asyncpg.Pool[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ahead: timedelta,
) -> None:
    """In one sentence; the month that is, and those made ahead, stay where they are."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))
    now = datetime.now(UTC)
    await keep_house(pool, now + timedelta(days=180), 604_800.0)
    parts = await pool.fetch(_PARTS)
    asked = ["archive", "--before", (now + ahead).isoformat(), "--to", str(tmp_path)]
    result = await asyncio.to_thread(CliRunner().invoke, main, asked)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "only months that are over are archived" in result.output
    assert await pool.fetch(_PARTS) == parts
    assert [*tmp_path.iterdir()] == []
