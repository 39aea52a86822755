"""A raw TCP server that does with each request exactly what a test tells it.

An HTTP server would be too polite: here an answer can be cut, be garbage, or never come.
Requests are kept as they were read; the last behaviour given goes on for ever.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it was on the wire; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(slots=True)
class Wire:
    """The server: what it was asked, and what it will do next."""

    port: int
    script: deque[Behaviour]
    seen: list[SeenRequest] = field(default_factory=list)
    connections: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def then(self, *behaviours: Behaviour) -> None:
        """Replace what the server will do."""
        self.script = deque(behaviours)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not reader.at_eof() and not writer.is_closing():
                request = await _read(reader)
                self.seen.append(request)
                behaviour = self.script.popleft() if len(self.script) > 1 else self.script[0]
                await behaviour(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def route(self, **routes: Behaviour) -> None:
        """Choose the behaviour by the last word of the path: `token`, `orders`, `capture` ..."""

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            word = self.seen[-1].target.partition("?")[0].rpartition("/")[2]
            await routes[word](reader, writer)

        self.then(behave)

    async def hang(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say nothing until the test releases it or is over, then hang up."""
        await self.released.wait()
        writer.close()


@asynccontextmanager
async def serving(*behaviours: Behaviour) -> AsyncIterator[Wire]:
    """A server on a free port for as long as the context lasts."""
    wire = Wire(0, deque(behaviours or (reply(500, {}),)))
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield wire
        finally:
            wire.released.set()


def reply(
    status: int, body: object, headers: Mapping[str, str] | None = None, *, after_s: float = 0.0
) -> Behaviour:
    """A whole answer; `body` is bytes or becomes JSON. `after_s` is the provider's own time."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)
        writer.write(_head(status, len(content), headers or {}) + content)
        await writer.drain()

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, and the last for ever."""
    left = deque(behaviours)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = left.popleft() if len(left) > 1 else left[0]
        await behaviour(reader, writer)

    return behave


def truncated(status: int, body: object, *, keep: int) -> Behaviour:
    """An answer cut after `keep` bytes of its body."""
    content = json.dumps(body).encode()

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, len(content), {}) + content[:keep])
        await writer.drain()
        writer.close()

    return behave


def raw(data: bytes) -> Behaviour:
    """Bytes, whatever they are, and the end."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and hang up."""
    writer.close()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and send a TCP reset."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@asynccontextmanager
async def unaccepting() -> AsyncIterator[str]:
    """The address of a host whose connections never come about: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)  # noqa: FBT003 - the name of the method says it
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def refused_url() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _head(status: int, length: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {length}"]
    lines += ["Content-Type: application/json", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> SeenRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return SeenRequest(method, target, headers, body)
