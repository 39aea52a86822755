"""The relay's ordinary connection to Postgres: the slot's state, the table, the heartbeat.

It never decides anything: it creates a slot that is absent, replaces one the server gave up, and
reads the outbox in one snapshot whose limits are exact, so that the WAL can be compared with it.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

import psycopg
import structlog
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from store.queries import query
from topics.contracts.envelope import OutboxRow
from topics.relay.connection import connect
from topics.relay.failures import SourceFailure
from topics.relay.pgoutput import lsn_number
from topics.relay.snapshot import TransactionSnapshot

log = structlog.get_logger()

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Rows of one round trip while the table is read.
_ROWS_PER_FETCH: Final = 2000


class SlotOrigin(Enum):
    """What `ensure_slot` found: a slot to go on from, none, or one the server had given up."""

    KEPT = auto()
    CREATED = auto()
    REPLACED = auto()


@dataclass(frozen=True, slots=True)
class Position:
    """Where the server's WAL ends, and its clock in milliseconds since 1970."""

    lsn: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class _Slot:
    wal_status: str
    confirmed_lsn: int


class _AsWritten(Loader):
    """Text as the server sends it: rows go on as bytes."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Postgres:
    """One connection, used by one task at a time. Every method raises `SourceFailure`."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self._connection = connection

    async def ensure_slot(self, name: str) -> SlotOrigin:
        """Create the slot if it is absent, and again if the server gave it up."""
        found = await self._slot(name)
        if found is not None and found.wal_status != "lost":
            return SlotOrigin.KEPT
        if found is not None:
            log.error("the server gave the slot up; it is made anew", slot=name)
            await self._execute("drop_slot", name)
        log.info("creating the slot", slot=name)
        await self._execute("create_slot", name)
        return SlotOrigin.CREATED if found is None else SlotOrigin.REPLACED

    async def confirmed_lsn(self, slot: str) -> int:
        """How far the slot's readers have confirmed; final only while nobody else reads it."""
        found = await self._slot(slot)
        if found is None:
            raise SourceFailure(f"the slot {slot} is gone")
        return found.confirmed_lsn

    async def position(self) -> Position:
        ((lsn, now_ms),) = await self._execute("wal_position")
        return Position(lsn_number(str(lsn)), int(str(now_ms)))

    async def heartbeat(self) -> None:
        """Write a few bytes of WAL, so that an idle slot moves on and releases the old WAL."""
        await self._execute("emit_heartbeat")

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator["OutboxTable"]:
        """The outbox as it is at one instant."""
        try:
            async with self._connection.transaction():
                await self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                ((snapshot, lsn, oldest),) = await self._execute("outbox_snapshot")
                yield OutboxTable(
                    self._connection,
                    TransactionSnapshot.parse(str(snapshot), lsn=lsn_number(str(lsn))),
                    None if oldest is None else int(str(oldest)),
                )
        except psycopg.OperationalError as error:
            raise SourceFailure(f"Postgres went away: {error}") from error

    async def _slot(self, name: str) -> "_Slot | None":
        for status, confirmed in await self._execute("slot_state", name):
            return _Slot(str(status), lsn_number(str(confirmed)))
        return None

    async def _execute(self, statement: str, *arguments: str) -> list[tuple[object, ...]]:
        try:
            cursor = await self._connection.execute(query(statement).encode(), arguments)
            return await cursor.fetchall()
        except psycopg.Error as error:
            raise SourceFailure(f"Postgres refused or went away: {error}") from error


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """The table as one transaction sees it; `oldest_ms` is the time of the oldest row it has."""

    connection: psycopg.AsyncConnection[tuple[object, ...]]
    visible: TransactionSnapshot
    oldest_ms: int | None

    async def rows(
        self, since_ms: Mapping[str, int], until: bytes
    ) -> AsyncGenerator[list[OutboxRow], None]:
        """The rows of these topics recorded since then, up to an id, in the order of their ids."""
        times = [_EPOCH + timedelta(milliseconds=since) for since in since_ms.values()]
        parameters = (list(since_ms), times, min(times), until.decode())
        async with self.connection.cursor(name="outbox_rows") as cursor:
            cursor.adapters.register_loader("text", _AsWritten)
            await cursor.execute(query("outbox_rows").encode(), parameters)
            while rows := await cursor.fetchmany(_ROWS_PER_FETCH):
                yield [OutboxRow._make(row) for row in rows]


@contextlib.asynccontextmanager
async def connected(conninfo: str) -> AsyncIterator[Postgres]:
    """An ordinary connection. Raises `SourceFailure`."""
    connection = await connect(conninfo)
    try:
        yield Postgres(connection)
    finally:
        await connection.close()
