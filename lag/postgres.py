"""What Postgres knows: how far behind its slots are read, work past its time, how providers are.

One connection, used by one measurement at a time, opened when needed and dropped at the
first failure. The statements (`store/sql/lag.sql`) read catalogs and small partial indexes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lag.history import LsnHistory, age_seconds
from lag.report import TABLE, ProviderReport, SlotLag, WaitingWork
from store.pool import connect_single
from store.queries import query

if TYPE_CHECKING:
    import asyncpg

    from lag.targets import LagTargets
    from process.addresses import DatabaseAddress

_MISSING: Final = "missing"


class _Connection:
    """A connection to the database, opened by the first statement that needs it."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._open: asyncpg.Connection[asyncpg.Record] | None = None

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        if self._open is None or self._open.is_closed():
            self._open = await connect_single(self._address, application_name="payments-lag")
        return await self._open.fetch(query(statement), *arguments)

    async def close(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            connection.terminate()


class Slots:
    """The logical slots of the database, with the age of what they have not confirmed.

    Of relays that read the table there is the same under the names that their slots would have:
    whether anybody reads, and since when what no checkpoint covers is there.
    """

    def __init__(self, targets: LagTargets) -> None:
        self._connection = _Connection(targets.database)
        self._expected = targets.slots
        self._tables = targets.tables
        self._history = LsnHistory()

    async def measure(self, now: float) -> tuple[SlotLag, ...]:
        rows = await self._connection.fetch("lag_of_slots")
        for row in rows[:1]:
            self._history.add(row["written"], now)
        found = {row["slot_name"]: self._lag(row, now) for row in rows}
        absent = [
            SlotLag(name, active=False, wal_status=_MISSING, bytes=None, seconds=None,
                    safe_wal_bytes=None)
            for name in self._expected
            if name not in found
        ]  # fmt: skip
        return (*found.values(), *absent, *await self._read_from_the_table(now))

    async def _read_from_the_table(self, now: float) -> tuple[SlotLag, ...]:
        if not self._tables:
            return ()
        rows = await self._connection.fetch("lag_of_table_readers", list(self._tables))
        return tuple(
            SlotLag(
                self._tables[row["sink"]],
                active=row["active"],
                wal_status=TABLE,
                bytes=None,
                seconds=age_seconds(row["oldest_at"].timestamp(), now) if row["oldest_at"] else 0.0,
                safe_wal_bytes=None,
            )
            for row in rows
        )

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

    def __init__(self, targets: LagTargets) -> None:
        self._connection = _Connection(targets.database)

    async def measure(self, now: float) -> tuple[WaitingWork, ...]:
        rows = await self._connection.fetch("waiting_work", datetime.fromtimestamp(now, UTC))
        return tuple(
            WaitingWork(
                kind=row["kind"],
                count=row["count"],
                oldest_seconds=age_seconds(row["oldest_at"].timestamp(), now)
                if row["oldest_at"]
                else 0.0,
            )
            for row in rows
        )

    async def close(self) -> None:
        await self._connection.close()


class Providers:
    """The payment providers, as the workers that live say they are."""

    def __init__(self, targets: LagTargets) -> None:
        self._connection = _Connection(targets.database)

    async def measure(self, now: float) -> tuple[ProviderReport, ...]:  # noqa: ARG002 - a source's
        rows = await self._connection.fetch("worst_provider_states")
        return tuple(ProviderReport(**row) for row in rows)

    async def close(self) -> None:
        await self._connection.close()
