"""How what listens for HTTP stops: who was let in is answered, and who is stuck is cut off."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

# Of the time to drain: for those who are then cancelled, to say so and to go.
_CANCELLED_SHARE: Final = 0.1


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
