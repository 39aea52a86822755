"""Requests over real connections begin when it is their turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from api.http.observer import OBSERVER, Observer
from api.http.turns import Crowded, Turns
from process.clients import Proxies
from process.serving import Listen, serving
from store.write.group_commit import Answer, Overloaded
from telemetry.metrics import Metrics
from telemetry.tracing import configure
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from api.http.observer import RequestWork
    from api.http.problems import Asked
    from api.http.turns import Place

_LONG_S = 3600.0
_PLACES = 2
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_LISTEN = Listen(
    host="127.0.0.1",
    port=0,
    connections_max=100,
    tls=None,
    read_timeout_seconds=5.0,
    write_timeout_seconds=5.0,
    idle_timeout_seconds=5.0,
    drain_seconds=5.0,
)


@pytest.mark.parametrize("waits_for", ["turn", "commit"])
async def test_what_would_come_too_late_is_refused_and_counted(waits_for: str) -> None:
    """Its turn or its commit: nothing of it is begun, and the answer says when to come again."""
    metrics = Metrics(CollectorRegistry())
    app = web.Application()
    observer = app[OBSERVER] = Observer(
        *(metrics, configure("test").tracer, lambda: "r", Proxies()), lambda _: "crowd"
    )

    class Street(Turns):
        async def take(self, asker: str, *, is_heard: bool = True) -> Place:
            if waits_for == "turn":
                raise Crowded(1.4)
            return await super().take(asker, is_heard=is_heard)

    def admit(tenant_id: str) -> None:
        assert tenant_id == "crowd"
        if waits_for == "commit":
            raise Overloaded(1.4)

    async def work(_asked: Asked, _headers: dict[str, str]) -> Answer:
        raise AssertionError("it was begun")

    async def handle(request: web.Request) -> web.Response:
        turn = partial(observer.turn, admit=admit)
        return await observer.respond(request, "/here", work, turn=turn)

    observer.turns = Street()
    app.router.add_get("/here", handle)
    async with (
        in_time(20),
        serving(app, _LISTEN, observer) as door,
        aiohttp.ClientSession(f"http://{door.address.rpartition('/')[2]}") as http,
        http.get("/here", headers={"X-Request-ID": "mine", "traceparent": _TRACE}) as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Request-ID"] == "mine"
        assert answer.headers["traceparent"].split("-")[1] == _TRACE.split("-")[1]
        assert (await answer.json(content_type="application/problem+json"))["request_id"] == "mine"
    seen = metrics.registry.get_sample_value
    assert seen("payments_http_requests_rejected_total", {"reason": "overload"}) == 1
    counted = {"route": "/here", "method": "GET", "status": "5xx"}
    assert seen("payments_http_requests_total", counted) == 1
    timed = {"route": "/here", "method": "GET"}
    assert not seen("payments_http_request_duration_seconds_count", timed)


async def test_a_crowd_has_its_places_and_whoever_comes_behind_it_begins() -> None:
    """What waits for its turn has not begun, and begins when one of its own is done."""
    began: Counter[str] = Counter()
    let_go = asyncio.Event()

    def worker(asker: str) -> RequestWork:
        async def work(_asked: Asked, _headers: dict[str, str]) -> Answer:
            began[asker] += 1
            if asker == "crowd":
                await let_go.wait()
            return Answer(204, {}, b"")

        return work

    async def handle(request: web.Request) -> web.Response:
        work = worker(request.headers["Authorization"])
        return await request.app[OBSERVER].respond(request, "/here", work)

    app = web.Application()
    app.router.add_get("/here", handle)
    observer = app[OBSERVER] = Observer(
        *(Metrics(CollectorRegistry()), configure("test").tracer, lambda: "r", Proxies()),
        lambda authorization: authorization or "",
    )
    observer.turns = Turns(places=_PLACES, at_work_s=_LONG_S, alone_after_s=_LONG_S)
    async with (
        in_time(20),
        serving(app, _LISTEN, observer) as door,
        aiohttp.ClientSession(f"http://{door.address.rpartition('/')[2]}") as http,
    ):

        async def asked(asker: str) -> int:
            async with http.get("/here", headers={"Authorization": asker}) as answer:
                return answer.status

        assert await asked("innocent") == 204
        crowd = [asyncio.ensure_future(asked("crowd")) for _ in range(5)]
        await eventually(lambda: began["crowd"] >= _PLACES)
        for _ in range(5):
            assert await asked("innocent") == 204
        assert began == {"innocent": 6, "crowd": _PLACES}
        let_go.set()
        assert await asyncio.gather(*crowd) == [204] * 5
    assert began["crowd"] == 5
