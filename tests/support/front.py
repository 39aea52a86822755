"""Stands before a server, and goes dark: connections stay, and nothing comes through any more.

When it comes back new connections do; those of before have lost what they said, and stay silent.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Front:
    """Passes everything on until `go_dark`; listens on `port`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.is_dark = False
        self.behind = (host, port)
        self.ends: set[asyncio.Transport] = set()
        # Of connections that were there, or were made, while it was dark.
        self.lost: set[asyncio.BaseTransport] = set()

    def go_dark(self) -> None:
        """As when a cable is pulled: nothing is heard, and nobody is told."""
        self.is_dark = True
        self.lost |= self.ends

    def come_back(self) -> None:
        """As when the cable is plugged in again, and whoever stood between has forgotten us."""
        self.is_dark = False


class _End(asyncio.Protocol):
    """One end of a connection through the front: what it hears goes out at the other."""

    def __init__(self, front: Front, other: _End | None = None) -> None:
        self._front = front
        self._other = other
        self._transport: asyncio.Transport | None = None
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._front.ends.add(transport)
        if self._front.is_dark:
            self._front.lost.add(transport)
        self._transport = transport
        if self._other is None and not self._front.is_dark:
            reached = asyncio.get_running_loop().create_connection(
                lambda: _End(self._front, self), *self._front.behind
            )
            self._reaching = asyncio.ensure_future(reached)
        elif self._other is not None:
            self._other.meet(self)

    def meet(self, other: _End) -> None:
        self._other = other
        other.send(self._heard)

    def data_received(self, data: bytes) -> None:
        if self._front.is_dark or self._transport in self._front.lost:
            return
        if self._other is None:
            self._heard += data
        else:
            self._other.send(data)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        assert self._transport is not None
        self._front.ends.discard(self._transport)
        if self._other is not None and not self._front.is_dark:
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
