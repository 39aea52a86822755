"""Stands before a server, and does what networks and servers do on their bad days."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Each way, each piece: a statement takes a quarter of a second.
_SLOW_S: Final = 0.125


class Way(StrEnum):
    """What a front does with what it hears.

    `gone`: whoever comes is turned away at once. `dark`: a cable is pulled, connections stay, and
    nothing comes through any more. `mute`: all gets through to the server, and no answer back.
    """

    OPEN = "open"
    GONE = "gone"
    DARK = "dark"
    MUTE = "mute"
    SLOW = "slow"


class Front:
    """Passes everything on until it is told otherwise; listens on `port`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.behind = (host, port)
        self.ends: set[asyncio.Transport] = set()
        self.way = Way.OPEN
        # What is answered to whatever is asked, in place of the server.
        self.answer: bytes | None = None
        # Of connections that were there, or were made, while it was dark, and are not cut.
        self.lost: set[asyncio.BaseTransport] = set()

    @property
    def is_dark(self) -> bool:
        return self.way is Way.DARK

    def go_dark(self) -> None:
        """As when a cable is pulled: nothing is heard, and nobody is told."""
        self.way = Way.DARK
        self.lost |= self.ends

    def come_back(self) -> None:
        """As when the cable is plugged in again, and whoever stood between has forgotten us.

        New connections get through; those of before have lost what they said, and stay silent.
        """
        self.way = Way.OPEN

    def go(self, way: Way, answer: bytes | None = None) -> None:
        """Go another way; connections from before a change that both ends cannot miss are cut."""
        was, self.way, self.answer = self.way, way, answer
        # What was lost on the way is not sent again: no connection outlives that.
        if Way.GONE in {was, way} or was in {Way.DARK, Way.MUTE}:
            for each in tuple(self.ends):
                each.abort()


class _End(asyncio.Protocol):
    """One end of a connection through the front: what it hears goes out at the other."""

    def __init__(self, front: Front, other: _End | None = None) -> None:
        self._front = front
        self._is_servers = other is not None
        self._other = other
        self._transport: asyncio.Transport | None = None
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._front.way is Way.GONE:
            transport.abort()
            return
        self._front.ends.add(transport)
        if self._front.is_dark:
            self._front.lost.add(transport)
        if self._other is None and not self._front.is_dark:
            self._reaching = asyncio.ensure_future(self._reach(transport))
        elif self._other is not None:
            self._other.meet(self)

    async def _reach(self, transport: asyncio.Transport) -> None:
        """Whoever comes is turned away, too, while the server itself is gone."""
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _End(self._front, self), *self._front.behind
            )
        except OSError:
            transport.abort()

    def meet(self, other: _End) -> None:
        self._other = other
        other.send(self._heard)

    def data_received(self, data: bytes) -> None:
        way = self._front.way
        if self._front.answer is not None:
            self.send(b"" if self._is_servers else self._front.answer)
        elif self._is_lost or way is Way.DARK or (way is Way.MUTE and self._is_servers):
            return
        elif self._other is None:
            self._heard += data
        elif way is Way.SLOW:
            asyncio.get_running_loop().call_later(_SLOW_S, self._other.send, data)
        else:
            self._other.send(data)

    @property
    def _is_lost(self) -> bool:
        return self._transport in self._front.lost

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        assert self._transport is not None
        self._front.ends.discard(self._transport)
        if self._other is not None and not (self._front.is_dark or self._is_lost):
            self._other.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def front_of(host: str, port: int) -> AsyncIterator[Front]:
    """A front of the server, for as long as the context is open."""
    front = Front(host, port)
    server = await asyncio.get_running_loop().create_server(lambda: _End(front), "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        for each in tuple(front.ends):
            each.abort()
        await server.wait_closed()
