"""A load balancer over ingresses, as plain as they come: in turn to those that say they are ready.

It asks each for its readiness again and again, keeps connections to them open, adds who asks to
`X-Forwarded-For`, and tries nothing twice: what an ingress does not answer is a 502, and 503 is
what is said when none is ready.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_ASK_EVERY_S: Final = 1.0
_ASK_WITHIN: Final = aiohttp.ClientTimeout(total=1)
# What concerns one connection, and not what is said on it.
_OF_CONNECTION: Final = frozenset({"connection", "content-length", "transfer-encoding", "host"})


class Balancer:
    """Leads to `backends`, of which `ready` is who is asked."""

    def __init__(self, backends: Sequence[str], session: aiohttp.ClientSession) -> None:
        self.ready: set[str] = set()
        self.address = ""
        self._turns = itertools.cycle(backends)
        self._backends = backends
        self._session = session

    async def watch(self, backend: str) -> None:
        """Until cancelled."""
        while True:
            try:
                url = f"{backend}/health/ready"
                async with self._session.get(url, timeout=_ASK_WITHIN) as answer:
                    is_ready = answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                is_ready = False
            (self.ready.add if is_ready else self.ready.discard)(backend)
            await asyncio.sleep(_ASK_EVERY_S)

    async def pass_on(self, request: web.Request) -> web.Response:
        turn = next((each for each in self._round() if each in self.ready), None)
        if turn is None:
            return web.Response(status=503, text="nobody is ready")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OF_CONNECTION}
        before = [headers["X-Forwarded-For"]] if "X-Forwarded-For" in headers else []
        headers["X-Forwarded-For"] = ", ".join((*before, request.remote or ""))
        body = await request.read()
        try:
            async with self._session.request(
                request.method, turn + request.path_qs, data=body, headers=headers
            ) as answer:
                said = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            return web.Response(status=502, text=f"{turn}: {error!r}")
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _OF_CONNECTION}
        return web.Response(status=answer.status, headers=kept, body=said)

    def _round(self) -> list[str]:
        return list(itertools.islice(self._turns, len(self._backends) + 1))


@asynccontextmanager
async def balanced(*backends: str) -> AsyncIterator[Balancer]:
    """A balancer that listens for as long as the context is open."""
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        balancer = Balancer(backends, session)
        app.router.add_route("*", "/{path:.*}", balancer.pass_on)
        await runner.setup()
        watching = [tasks.create_task(balancer.watch(each)) for each in backends]
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            balancer.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield balancer
        finally:
            await runner.cleanup()
            for task in watching:
                task.cancel()
