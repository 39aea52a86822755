"""Lag that Postgres knows: how far behind its slots are read, and work past its time.

One connection, used by one measurement at a time, opened when needed and dropped at the
first failure. The statements read catalogs and small partial indexes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from lag.history import LsnHistory, age_seconds
from lag.report import SlotLag, WaitingWork

if TYPE_CHECKING:
    from lag.targets import LagTargets

# A standby has no current WAL position of its own and reports what it has received.
_SLOTS: Final = """
SELECT
    slot_name,
    active,
    coalesce(wal_status, 'lost') AS wal_status,
    safe_wal_size,
    (confirmed_flush_lsn - '0/0')::bigint AS confirmed,
    (
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END
        - '0/0'
    )::bigint AS written
FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database()
ORDER BY slot_name
"""
# What waits behind a dead letter is that letter's matter: it alone is counted.
_WAITING: Final = """
SELECT 'payments' AS kind, count(*) AS count, min(due_at) AS oldest_at
FROM payments
WHERE due_at < $1 AND (charge_blocked_by IS NULL OR operation IS NULL)
UNION ALL
SELECT 'refunds', count(*), min(refunds.due_at)
FROM refunds
INNER JOIN payments ON refunds.payment_id = payments.id
WHERE refunds.due_at < $1 AND payments.refund_blocked_by IS NULL
UNION ALL
SELECT 'dead_letters', count(*), min(first_failed_at)
FROM dead_letters
WHERE state = 'parked' AND reason <> 'waits_behind'
UNION ALL
SELECT 'breaks', count(*), min(occurred_at)
FROM reconciliation_breaks
WHERE state = 'open'
"""
_MISSING: Final = "missing"


class _Connection:
    """A connection to the pipeline's database, opened by the first statement that needs it."""

    def __init__(self, pipeline: LagTargets) -> None:
        self._pipeline = pipeline
        self._open: asyncpg.Connection[asyncpg.Record] | None = None

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        if self._open is None or self._open.is_closed():
            self._open = await asyncpg.connect(
                host=self._pipeline.database_host,
                port=self._pipeline.database_port,
                user=self._pipeline.database_user,
                password=self._pipeline.database_password,
                database=self._pipeline.database_name,
                server_settings={"application_name": "payments-lag", "timezone": "UTC"},
            )
        return await self._open.fetch(statement, *arguments)

    async def close(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            connection.terminate()


class Slots:
    """The logical slots of the database, with the age of what they have not confirmed."""

    def __init__(self, pipeline: LagTargets) -> None:
        self._connection = _Connection(pipeline)
        self._expected = pipeline.slots
        self._history = LsnHistory()

    async def measure(self, now: float) -> tuple[SlotLag, ...]:
        rows = await self._connection.fetch(_SLOTS)
        for row in rows[:1]:
            self._history.add(row["written"], now)
        found = {row["slot_name"]: self._lag(row, now) for row in rows}
        absent = [
            SlotLag(name, active=False, wal_status=_MISSING, bytes=None, seconds=None,
                    safe_wal_bytes=None)
            for name in self._expected
            if name not in found
        ]  # fmt: skip
        return (*found.values(), *absent)

    async def close(self) -> None:
        await self._connection.close()

    def _lag(self, row: asyncpg.Record, now: float) -> SlotLag:
        confirmed: int | None = row["confirmed"]  # None for a slot that is still being created
        return SlotLag(
            slot=row["slot_name"],
            active=row["active"],
            wal_status=row["wal_status"],
            bytes=None if confirmed is None else max(0, row["written"] - confirmed),
            seconds=None if confirmed is None else self._history.age(confirmed, now),
            safe_wal_bytes=row["safe_wal_size"],
        )


class Waiting:
    """Work past its time in Postgres: visible although whoever should do it is dead."""

    def __init__(self, pipeline: LagTargets) -> None:
        self._connection = _Connection(pipeline)

    async def measure(self, now: float) -> tuple[WaitingWork, ...]:
        rows = await self._connection.fetch(_WAITING, datetime.fromtimestamp(now, UTC))
        return tuple(
            WaitingWork(
                kind=row["kind"],
                count=row["count"],
                oldest_seconds=age_seconds(row["oldest_at"].timestamp(), now)
                if row["count"]
                else 0.0,
            )
            for row in rows
        )

    async def close(self) -> None:
        await self._connection.close()
