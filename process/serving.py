"""Serves an application to strangers: how long each is waited for, and how that ends.

From `last_answers` on each answer is the last of its connection, so that whoever keeps some open
is led elsewhere before anything is refused. Stopping then closes the door, lets requests in
flight finish, and ends only when they have or the time to drain is over: who was let in is
answered, and who is stuck is cut off.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import HttpVersion11, hdrs, web

from process.listening import Entrance, bound, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.http_parser import RawRequestMessage
    from prometheus_client import Gauge

    from process.listening import ServerTls

# More than any balancer opens to one process; how many files may be open bounds them, too.
CONNECTIONS_MAX: Final = 50_000
_LINGER_SECONDS: Final = 1.0
# Of the time to drain: for those who are then cancelled, to say so and to go.
_CANCELLED_SHARE: Final = 0.1
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen, and how long to wait for clients; seconds.

    `read_timeout` is for a request that has begun, or that a new connection was opened for, and
    `idle_timeout` for the next one.
    """

    host: str
    port: int
    read_timeout_seconds: float
    write_timeout_seconds: float
    idle_timeout_seconds: float
    drain_seconds: float
    connections_max: int
    tls: ServerTls | None


class Doorkeeper(Protocol):
    """Who speaks and counts for an application where no request comes as far as that.

    `certificate_refused` is set while a changed certificate is no good.
    """

    @property
    def certificate_refused(self) -> Gauge: ...

    def no_room(self) -> None:
        """A connection was cut off at once: as many as may be are open, and all of them busy."""

    def refuse_connection(self, error: BaseException | None) -> web.Response:
        """The answer to bytes that are no HTTP request."""


class Door:
    """What is open to clients, and at which address; no more than so many connections at once."""

    def __init__(self, address: str, connections_max: int) -> None:
        self.address = address
        self.closes = False
        self._room = connections_max
        # Those whose client may ask again, the longest idle first.
        self._idle: dict[_Connection, None] = {}

    def last_answers(self) -> None:
        """From now on close each connection after its answer; who asks anew is let in still."""
        self.closes = True

    def has_room(self) -> bool:
        """Take one more in, in place of one that is idle if need be; False if there is none."""
        self._room -= 1
        if self._room >= 0:
            return True
        longest = next(iter(self._idle), None)
        if longest is None:
            return False
        del self._idle[longest]
        longest.force_close()
        return True

    def is_idle(self, connection: _Connection) -> None:
        self._idle[connection] = None

    def is_busy(self, connection: _Connection) -> None:
        self._idle.pop(connection, None)

    def is_gone(self, connection: _Connection) -> None:
        self._idle.pop(connection, None)
        self._room += 1


@asynccontextmanager
async def serving(app: web.Application, listen: Listen, keeper: Doorkeeper) -> AsyncIterator[Door]:
    """Serve while the context is open. Leaving drains. Raises AddressError."""
    runner = runner_of(app, listen.drain_seconds)
    await runner.setup()
    try:
        entrance = Entrance(
            listener=bound(listen.host, listen.port, listen.write_timeout_seconds),
            tls=listen.tls,
            handshake_s=listen.read_timeout_seconds,
            handshakes_max=listen.connections_max,
            certificate_refused=keeper.certificate_refused,
        )
        door = Door(entrance.address, listen.connections_max)
        assert runner.server is not None, "a runner has a server once it is set up"
        made = runner.server.request_factory
        runner.server.request_factory = partial(_expecting_nothing, made)
        connections = partial(_Connection, runner.server, keeper, listen, door)
        async with listening(entrance, connections):
            yield door
    finally:
        await drain(runner, listen.drain_seconds)


def runner_of(app: web.Application, drain_s: float) -> web.AppRunner:
    """A runner of the application, to be ended by `drain` within that time."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=drain_s * (1 - _CANCELLED_SHARE))


async def drain(runner: web.AppRunner, drain_s: float) -> None:
    """Listen no more, let requests in flight end, and cut off whose client holds them up.

    aiohttp would wait twice as long as it is told for a client that does not read its answer.
    """
    server = runner.server
    try:
        async with asyncio.timeout(drain_s):
            await runner.cleanup()
    except TimeoutError:
        for connection in server.connections if server else ():
            if connection.transport is not None:
                connection.transport.abort()


def _expecting_nothing(
    make: Callable[..., web.BaseRequest],
    message: RawRequestMessage,
    payload: object,
    connection: web.RequestHandler,
    *more: object,
) -> web.BaseRequest:
    """A request, whose body is asked for if its client waits for that.

    No other expectation is met, nor refused. aiohttp would refuse it before all middlewares and
    in its own words: with 417, and with 500 where it is no text.
    """
    expected = message.headers.get(hdrs.EXPECT)
    if expected is not None:
        waits = expected.lower() == "100-continue" and message.version == HttpVersion11
        if waits and connection.transport is not None:
            connection.transport.write(_CONTINUE)
        headers = message.headers.copy()
        del headers[hdrs.EXPECT]
        message = message._replace(headers=type(message.headers)(headers))
    return make(message, payload, connection, *more)


class _Connection(web.RequestHandler):
    """One client's connection, which has so long to ask, and to which the door may be closed."""

    __slots__ = ("_door", "_keeper", "_read_timeout_seconds", "_too_slow")

    def __init__(self, manager: web.Server, keeper: Doorkeeper, listen: Listen, door: Door) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
            keepalive_timeout=listen.idle_timeout_seconds,
            # Who is refused early gets this long to stop sending and read why.
            lingering_time=_LINGER_SECONDS,
            # Nothing compressed is taken, so that no small body becomes a large one.
            auto_decompress=False,
        )
        self._door = door
        self._keeper = keeper
        self._read_timeout_seconds = listen.read_timeout_seconds
        # What closes it unless a whole request, but for its body, comes first.
        self._too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect_request()
        if not self._door.has_room():
            # A file that is left is for the servers we depend on.
            self._keeper.no_room()
            assert self.transport is not None, "it has just been made"
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._door.is_busy(self)
        super().data_received(data)
        if not self._awaits_request():
            self._stop_expecting()
        elif self._too_slow is None:
            self._expect_request()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_expecting()
        self._door.is_gone(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one if the door closes."""
        if self._door.closes:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if not self._messages:
            self._door.is_idle(self)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are no request; the connection is closed after it."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        response = self._keeper.refuse_connection(exc)
        response.force_close()
        return response

    def _expect_request(self) -> None:
        loop = asyncio.get_running_loop()
        self._too_slow = loop.call_later(self._read_timeout_seconds, self._close_if_waiting)

    def _stop_expecting(self) -> None:
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None

    def _close_if_waiting(self) -> None:
        if self._awaits_request():
            self.force_close()

    def _awaits_request(self) -> bool:
        """Whether nothing is being answered, and no whole head of a request is here."""
        is_idle = self._waiter is not None and not self._waiter.done()
        return is_idle or self._request_count == 0
