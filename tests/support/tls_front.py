"""TLS before a server that was built without: what listens here decrypts, and passes on.

With `asked_first`, as Postgres has it: a client asks for TLS in the clear and is answered with one
letter. Whoever does not ask is turned away, as by a server that lets nobody in without.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.certificates import Paper

_SSL_REQUEST: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
_PIECE: Final = 65_536


def context_of(paper: Paper, clients: Path | None = None) -> ssl.SSLContext:
    """Shows the paper; with an authority of `clients`, asks for theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper.certificate, paper.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def tls_front(
    behind: tuple[str, int], context: ssl.SSLContext, *, asked_first: bool = False
) -> AsyncIterator[int]:
    """The port it listens on, at 127.0.0.1, while the block runs."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if asked_first:
                await _start_tls(reader, writer, context)
            await _pass_on(reader, writer, behind)
        writer.close()
        serving.discard(task)

    at_once = None if asked_first else context
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=at_once)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in tuple(serving):
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _start_tls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
        raise ConnectionError("whoever does not ask for TLS is turned away")
    writer.write(b"S")
    await writer.start_tls(context)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: tuple[str, int]
) -> None:
    inner_reader, inner_writer = await asyncio.open_connection(*behind)
    try:
        ways = [
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in ways:
            each.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    finally:
        inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
