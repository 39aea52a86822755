"""How soon a webhook endpoint is told of what happened, alone and beside endpoints that are dead.

The same open loop of payments twice: with one endpoint that answers at once, and with fifty more
that take every connection and never answer, each with test events of its own to be told of. (Who
is to be told of all payments costs an insert a payment, dead or not: that is not measured here.)
Measured is from an event's own time, a moment before its commit, until its request was read.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from bench.figures import Figure, percentile
from bench.load import Load, generated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.target import Target

_ACCOUNTS: Final = 100
_RATE: Final = 100.0
_DEAD: Final = 50
# Of what never happens here, so that only tests are sent.
_NEVER: Final = "payment.reversed"
_TESTS: Final = 10
_COLLECTION: Final = "/api/v1/webhook-endpoints"
_ALL_WITHIN_S: Final = 60.0


@dataclass(slots=True)
class _Told:
    """When the endpoint that answers heard of each event; milliseconds after it happened."""

    ms: dict[str, float] = field(default_factory=dict)

    async def hear(self, request: web.Request) -> web.Response:
        event = await request.json()
        after = datetime.now(UTC) - datetime.fromisoformat(event["timestamp"])
        self.ms.setdefault(event["id"], after.total_seconds() * 1000)
        return web.Response()


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Event to webhook, p50 and p99, alone and beside the dead; their ratio; what was not told."""
    alone = await _told(target, seconds, dead=0)
    beside = await _told(target, seconds, dead=_DEAD)
    await target.at_rest()
    note = f"payments at {_RATE:.0f}/s, one endpoint that answers"
    p99_alone, p99_beside = (percentile(sorted(each.ms.values()), 0.99) for each in (alone, beside))
    return [
        Figure(
            "event to webhook, p50, alone", percentile(sorted(alone.ms.values()), 0.5), "ms", note
        ),
        Figure("event to webhook, p99, alone", p99_alone, "ms", note),
        Figure(
            f"event to webhook, p50, beside {_DEAD} dead",
            percentile(sorted(beside.ms.values()), 0.5),
            "ms",
            note,
        ),
        Figure(f"event to webhook, p99, beside {_DEAD} dead", p99_beside, "ms", note),
        Figure(f"ratio beside {_DEAD} dead", p99_beside / p99_alone, ""),
    ]


async def _told(target: Target, seconds: float, *, dead: int) -> _Told:
    """What the endpoint that answers was told, once it was told of every payment's end."""
    told = _Told()
    accounts = await target.accounts(_ACCOUNTS)
    async with (
        _answering(told) as answers,
        _silent() as silence,
        _endpoints(target.url, answers, [f"{silence}/{n}" for n in range(dead)]),
    ):
        load = Load(target.url, accounts, seconds, rate=_RATE, kafka=target.record.addresses.kafka)
        outcome = await generated(load)
        async with asyncio.timeout(_ALL_WITHIN_S):
            # Of each payment that it was created, and that it is completed.
            while len(told.ms) < 2 * outcome.completed:  # noqa: ASYNC110 - others' requests
                await asyncio.sleep(0.05)
    return told


@asynccontextmanager
async def _answering(told: _Told) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", told.hear)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """A server that takes connections and says nothing, until whoever asks gives up."""
    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now[task] = writer
        with suppress(ConnectionError):
            while await reader.read(65_536):
                continue
        writer.close()
        del open_now[task]

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        waiting = list(open_now)
        for writer in open_now.values():
            writer.transport.abort()
        if waiting:
            await asyncio.wait(waiting)


@asynccontextmanager
async def _endpoints(url: str, answers: str, dead: list[str]) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(url, raise_for_status=True) as http:
        made = [await _made(http, answers)]
        try:
            for each in dead:
                made.append(await _made(http, each, _NEVER))
                for _ in range(_TESTS):
                    await http.post(f"{_COLLECTION}/{made[-1]}/test")
            yield
        finally:
            for endpoint_id in made:
                await http.delete(f"{_COLLECTION}/{endpoint_id}")


async def _made(http: aiohttp.ClientSession, url: str, *event_types: str) -> str:
    body = {"url": url, "event_types": [*event_types]}
    async with http.post(_COLLECTION, json=body) as answer:
        return str((await answer.json())["id"])
