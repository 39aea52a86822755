"""A proxy as companies have them: it opens tunnels by CONNECT, and passes on plain requests.

Every name leads to one server of the test's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Proxy:
    """What it was asked, and what it refuses with, if it does."""

    leads_to: int
    port: int = 0
    refuses: bytes = b""
    heads: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        try:
            if self.refuses:
                writer.write(b"HTTP/1.1 " + self.refuses + b"\r\nContent-Length: 0\r\n\r\n")
                return
            behind, onward = await asyncio.open_connection("127.0.0.1", self.leads_to)
            if head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                onward.write(head)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(reader, onward))
                tasks.create_task(_pump(behind, writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """A proxy, on a free port."""
    proxy = Proxy(port)
    async with await asyncio.start_server(proxy.connected, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
