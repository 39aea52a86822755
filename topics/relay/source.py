"""Reads a logical replication slot: what the WAL says of the outbox, in commit order.

The slot is a lock: while this connection lives nobody else reads it. The server hears from us
once a second whatever else happens, so a slow sink never looks like a dead relay, and it is told
only positions that were confirmed. Reading stops when nobody asks for more, and TCP slows the
server down. A server that says nothing while it is listened to, though it is asked to, is gone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, NamedTuple, Protocol

import psycopg
from psycopg import pq

from topics.relay.connection import connect
from topics.relay.failures import SlotActive, SourceFailure
from topics.relay.pgoutput import Decoder, Keepalive, WalEvent, lsn_text, status_update

# A tenth of the server's default patience (wal_sender_timeout, 60 s) would be 6.
_REPORT_EVERY_SECONDS: Final = 1.0
# The server writes the slot to disk when positions move: 20 times a second is often enough.
_REPORT_PAUSE_SECONDS: Final = 0.05
_FINISH_SECONDS_MAX: Final = 2.0
# Of a server that is silent, before it is given up; one that lives answers within milliseconds.
_ASKS_PER_SILENCE: Final = 3
_COPY_DONE: Final = -1
# Of rows that are large; of small ones the number is what counts.
_BYTES_PER_READ: Final = 4 * 1024 * 1024


class Server(NamedTuple):
    """Which history of the WAL a stream reads."""

    system_identifier: str
    timeline: str


class Clock(Protocol):
    """Seconds since 1970."""

    def __call__(self) -> float: ...


@contextlib.asynccontextmanager
async def open_slot(
    conninfo: str,
    *,
    slot: str,
    publication: str,
    silence_seconds: float,
    since: Callable[[Server], int],
) -> AsyncIterator["WalStream"]:
    """The stream of a slot nobody else reads, from where it was confirmed to.

    A server that crashed may have forgotten how far that was; `since` says for this server where
    it was at least, or 0.

    Raises `SlotActive` while another process does, and `SourceFailure` once the server has not
    answered for `silence_seconds`.
    """
    connection = await connect(conninfo, replication="database")
    try:
        stream = WalStream(connection.pgconn, silence_seconds)
        await stream.identify()
        await stream.start(slot, publication, since(stream.server))
        yield stream
    finally:
        await connection.close()


class WalStream:
    """Events of the WAL; `run` must run beside whoever reads."""

    def __init__(self, pgconn: pq.abc.PGconn, silence_seconds: float) -> None:
        self._pgconn = pgconn
        self._silence_seconds = silence_seconds
        self._decoder = Decoder("outbox")
        self.server = Server("", "")
        # Zero means "nothing to say" to the server, which keeps its own position then.
        self._received = 0
        self._confirmed = 0
        self._moved = asyncio.Event()

    async def identify(self) -> None:
        """Learn which server this is, and on which timeline."""
        result = await self._asked(b"IDENTIFY_SYSTEM")
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _why(result)
        identifier, timeline = (result.get_value(0, column) or b"" for column in (0, 1))
        self.server = Server(identifier.decode(), timeline.decode())
        self._pgconn.get_result()

    async def start(self, slot: str, publication: str, since: int) -> None:
        """Begin at the slot's own position, or a later one."""
        result = await self._asked(
            f'START_REPLICATION SLOT "{slot}" LOGICAL {lsn_text(since)} '
            f"(proto_version '1', publication_names '\"{publication}\"')".encode()
        )
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise _why(result)

    async def read(self, limit: int) -> list[WalEvent]:
        """At least one event, at most about `limit`; waits until there is one.

        All that has arrived: libpq takes some ten rows at a time from its socket.
        """
        events: list[WalEvent] = []
        size = 0
        while True:
            before = len(events)
            with _as_source_failure():
                size += self._arrived(events, limit)
            is_all = len(events) in {before, limit} or size >= _BYTES_PER_READ
            if events and is_all:
                return events
            if not events:
                await self._heard()
            self._consume()

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

    def _arrived(self, events: list[WalEvent], limit: int) -> int:
        """Add what has arrived and was not taken yet; returns how many bytes that were."""
        size = 0
        get_copy_data, decode = self._pgconn.get_copy_data, self._decoder.decode
        while len(events) < limit and size < _BYTES_PER_READ:
            length, data = get_copy_data(1)
            if length == 0:
                break
            if length == _COPY_DONE:
                raise _why(self._pgconn.get_result())
            size += length
            event = decode(bytes(data))
            if event is not None:
                events.append(event)
                if type(event) is Keepalive:
                    self._answer(event)
        return size

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
        with _as_source_failure():
            self._pgconn.put_copy_data(update)
            self._pgconn.flush()

    def _consume(self) -> None:
        with _as_source_failure():
            self._pgconn.consume_input()

    async def _asked(self, command: bytes) -> pq.abc.PGresult:
        with _as_source_failure():
            self._pgconn.nonblocking = 1
            self._pgconn.send_query(command)
            self._pgconn.flush()
        while self._pgconn.is_busy():
            await self._readable()
            self._consume()
        result = self._pgconn.get_result()
        if result is None:
            raise SourceFailure(f"Postgres did not answer {command.decode()}")
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


@contextlib.contextmanager
def _as_source_failure() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise SourceFailure(f"Postgres went away: {error}") from error


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
