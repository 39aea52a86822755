"""A door before the simulator, for a test to close: what turns us away before the provider works.

Closed, it answers every request itself, or nobody listens; opened again at the same address, all
is as it was. What comes through is counted, whatever becomes of it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

# Of one connection, and so no business of whoever stands in between.
_NOT_FORWARDED: Final = {"host", "connection", "content-length", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the door says to everybody."""

    status: int
    body: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Door:
    """Before the simulator at `target`."""

    target: str
    session: aiohttp.ClientSession
    port: int = 0
    knocks: int = 0
    _bearer: str | None = None
    _refusal: Refusal | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refuse(self, refusal: Refusal) -> None:
        """Let nobody in any more."""
        self._refusal = refusal

    def take(self, bearer: str) -> None:
        """Let those in only who have this token."""
        self._bearer = bearer

    async def open(self) -> None:
        """Let everybody in."""
        self._refusal = self._bearer = None
        if self._runner is None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._answer)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
            self.port = self._runner.addresses[0][1]

    async def wall_up(self) -> None:
        """Nobody listens any more, and who was connected no longer is."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.knocks += 1
        refusal = self._refusal
        if self._bearer and request.headers.get("Authorization") != f"Bearer {self._bearer}":
            refusal = Refusal(HTTPStatus.UNAUTHORIZED)
        if refusal is not None:
            return web.json_response(
                dict(refusal.body), status=refusal.status, headers=refusal.headers
            )
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_FORWARDED
        }
        async with self.session.request(
            request.method,
            self.target + request.path_qs,
            headers=headers,
            data=await request.read(),
        ) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in _NOT_FORWARDED
            }
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


@asynccontextmanager
async def door(target: str) -> AsyncIterator[Door]:
    """An open door on a free port for as long as the context lasts."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        made = Door(target, session)
        await made.open()
        try:
            yield made
        finally:
            await made.wall_up()
