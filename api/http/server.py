"""Serves the application: listens, and on its way out answers everybody who was let in.

Stopping closes the door first, then lets requests in flight finish, and ends only when
they have or the shutdown timeout is over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.http.observer import OBSERVER

if TYPE_CHECKING:
    from aiohttp.web import Application

    from api.http.observer import Observer

# Connections that wait to be accepted: those of a burst while one batch is decided.
_BACKLOG: Final = 1024
# What aiohttp may use to cancel what did not finish in time.
_CANCEL_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 1.0


class AddressError(Exception):
    """The address cannot be listened on; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen, and how long to wait for clients; seconds."""

    host: str
    port: int
    read_timeout_seconds: float
    write_timeout_seconds: float
    shutdown_timeout_seconds: float


@asynccontextmanager
async def serving(app: Application, listen: Listen) -> AsyncIterator[str]:
    """Serve while the context is open; its address. Leaving drains. Raises AddressError."""
    runner = web.AppRunner(
        app,
        shutdown_timeout=max(_CANCEL_SECONDS, listen.shutdown_timeout_seconds - _CANCEL_SECONDS),
    )
    await runner.setup()
    try:
        listener = _listener(listen)
        host, port = listener.getsockname()[:2]
        assert runner.server is not None, "a runner has a server once it is set up"
        connections = partial(_Connection, runner.server, app[OBSERVER], listen)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(connections, sock=listener, backlog=_BACKLOG)
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            server.close()
    finally:
        async with asyncio.timeout(listen.shutdown_timeout_seconds + _CANCEL_SECONDS):
            await runner.cleanup()


class _Connection(web.RequestHandler):
    """One client's connection, whose every answer is ours, also to what is not HTTP."""

    __slots__ = ("_observer",)

    def __init__(self, manager: web.Server, observer: Observer, listen: Listen) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
            # A connection that sends no whole request for so long is closed, a silent one too.
            keepalive_timeout=listen.read_timeout_seconds,
            # Who is refused early gets this long to stop sending and read why.
            lingering_time=_LINGER_SECONDS,
            # Nothing compressed is taken, so that no small body becomes a large one.
            auto_decompress=False,
        )
        self._observer = observer

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 - aiohttp's signature
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - likewise; it repeats what was sent
    ) -> web.StreamResponse:
        """The answer to bytes that are no request; the connection is closed after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        response = self._observer.refuse_connection(exc)
        response.force_close()
        return response


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; a name must not lead anywhere else."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _listener(listen: Listen) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise AddressError(f"{listen.host} is no address: {error}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Several processes may share the port, and the kernel spreads connections over them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit it: a client that reads nothing for so long is cut off.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(listen.write_timeout_seconds * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
    except OSError as error:
        listener.close()
        where = f"{listen.host}:{listen.port}"
        raise AddressError(f"the ingress cannot listen on {where}: {error.strerror}.") from error
    return listener
