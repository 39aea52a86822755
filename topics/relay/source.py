"""Reads a logical replication slot: what the WAL says of the outbox, in commit order.

The slot is a lock: while this connection lives nobody else reads it. The server hears from us
once a second whatever else happens, so a slow sink never looks like a dead relay, and it is told
only positions that were confirmed. Reading stops when nobody asks for more, and TCP slows the
server down. A server that says nothing while it is listened to, though it is asked to, is gone.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

import psycopg
from psycopg import pq

from topics.relay.connection import connect
from topics.relay.failures import SlotActive, SourceFailure
from topics.relay.pgoutput import Begin, Decoder, Keepalive, WalEvent, status_update

# A tenth of the server's default patience (wal_sender_timeout, 60 s) would be 6.
_REPORT_EVERY_SECONDS: Final = 1.0
# The server writes the slot to disk when positions move: 20 times a second is often enough.
_REPORT_PAUSE_SECONDS: Final = 0.05
_FINISH_SECONDS_MAX: Final = 2.0
# Of a server that is silent, before it is given up; one that lives answers within milliseconds.
_ASKS_PER_SILENCE: Final = 3
_COPY_DONE: Final = -1


class Clock(Protocol):
    """Seconds since 1970."""

    def __call__(self) -> float: ...


@contextlib.asynccontextmanager
async def open_slot(
    conninfo: str, *, slot: str, publication: str, silence_seconds: float
) -> AsyncIterator["WalStream"]:
    """The stream of a slot nobody else reads.

    Raises `SlotActive` while another process does, and `SourceFailure` once the server has not
    answered for `silence_seconds`.
    """
    connection = await connect(conninfo, replication="database")
    try:
        stream = WalStream(connection.pgconn, silence_seconds)
        await stream.start(slot, publication)
        yield stream
    finally:
        await connection.close()


class WalStream:
    """Events of the WAL; `run` must run beside whoever reads."""

    def __init__(self, pgconn: pq.abc.PGconn, silence_seconds: float) -> None:
        self._pgconn = pgconn
        self._silence_seconds = silence_seconds
        self._decoder = Decoder("outbox")
        self._peeked: deque[WalEvent] = deque()
        # Zero means "nothing to say" to the server, which keeps its own position then.
        self._received = 0
        self._confirmed = 0
        self._moved = asyncio.Event()

    async def start(self, slot: str, publication: str) -> None:
        """Begin at the slot's own position."""
        self._pgconn.nonblocking = 1
        self._pgconn.send_query(
            f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 '
            f"(proto_version '1', publication_names '\"{publication}\"')".encode()
        )
        result = await self._result()
        if result.status == pq.ExecStatus.COPY_BOTH:
            return
        raise _why(result)

    async def read(self, limit: int) -> list[WalEvent]:
        """At least one event, at most about `limit`; waits until there is one."""
        if self._peeked:
            events = list(self._peeked)
            self._peeked.clear()
            return events
        return await self._next(limit)

    async def first_begin(self, until: int) -> Begin | None:
        """The first transaction in the slot, or None when none is before `until`.

        It tells how old the oldest unconfirmed row is; `read` still gives it afterwards.
        """
        while True:
            self._report(reply_requested=True)
            (event,) = await self._next(1)
            self._peeked.append(event)
            match event:
                case Begin():
                    return event
                case Keepalive(wal_end=wal_end) if wal_end >= until:
                    return None
                case _:
                    await asyncio.sleep(_REPORT_PAUSE_SECONDS)

    def confirm(self, lsn: int) -> None:
        """Everything before `lsn` is safe; the server hears of it soon."""
        if lsn > self._confirmed:
            self._confirmed = lsn
            self._moved.set()

    async def run(self) -> None:
        """Report positions, at least once a second, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_EVERY_SECONDS):
                    await self._moved.wait()
            self._moved.clear()
            self._report()
            await asyncio.sleep(_REPORT_PAUSE_SECONDS)

    async def finish(self) -> None:
        """Report the last position and end the stream; the server has stored it on return."""
        self._report()
        try:
            async with asyncio.timeout(_FINISH_SECONDS_MAX):
                self._pgconn.put_copy_end()
                self._pgconn.flush()
                while (length := self._pgconn.get_copy_data(1)[0]) != _COPY_DONE:
                    if length == 0:
                        await self._readable()
                        self._consume()
        except (TimeoutError, psycopg.OperationalError) as error:
            raise SourceFailure(f"the last position may not be stored: {error}") from error

    async def _next(self, limit: int) -> list[WalEvent]:
        while True:
            events = self._arrived(limit)
            if events:
                return events
            await self._heard()
            self._consume()

    async def _heard(self) -> None:
        """Wait for the server, and ask it whether it is there when it is silent for long.

        Only while somebody listens: what nobody reads says nothing of the server.
        """
        for _ in range(_ASKS_PER_SILENCE):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._silence_seconds / _ASKS_PER_SILENCE):
                    return await self._readable()
            self._report(reply_requested=True)
        raise SourceFailure(f"Postgres has said nothing for {self._silence_seconds:g} s")

    def _arrived(self, limit: int) -> list[WalEvent]:
        """What has arrived and was not taken yet."""
        events: list[WalEvent] = []
        get_copy_data, decode = self._pgconn.get_copy_data, self._decoder.decode
        while len(events) < limit:
            length, data = get_copy_data(1)
            if length == 0:
                break
            if length == _COPY_DONE:
                raise _why(self._pgconn.get_result())
            event = decode(bytes(data))
            if event is not None:
                events.append(event)
                if type(event) is Keepalive:
                    self._answer(event)
        return events

    def _answer(self, keepalive: Keepalive) -> None:
        self._received = max(self._received, keepalive.wal_end)
        if keepalive.reply_requested:
            self._report()

    def _report(self, *, reply_requested: bool = False) -> None:
        update = status_update(
            received=max(self._received, self._confirmed),
            confirmed=self._confirmed,
            now=time.time(),
            reply_requested=reply_requested,
        )
        try:
            self._pgconn.put_copy_data(update)
            self._pgconn.flush()
        except psycopg.OperationalError as error:
            raise SourceFailure(f"Postgres went away: {error}") from error

    def _consume(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError as error:
            raise SourceFailure(f"Postgres went away: {error}") from error

    async def _result(self) -> pq.abc.PGresult:
        self._pgconn.flush()
        while self._pgconn.is_busy():
            await self._readable()
            self._consume()
        result = self._pgconn.get_result()
        if result is None:
            raise SourceFailure("Postgres did not answer START_REPLICATION")
        return result

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        socket = self._pgconn.socket
        loop.add_reader(socket, _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(socket)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _why(result: pq.abc.PGresult | None) -> SourceFailure:
    """Why the server ended the stream or refused to begin it."""
    if result is None:
        return SourceFailure("Postgres ended the stream")
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = result.error_message.decode(errors="replace").strip()
    if state == "55006":
        return SlotActive(message)
    return SourceFailure(message or "Postgres ended the stream")
