"""Who connects is let in and waited for, for so long and no longer; by whoever serves strangers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from agents.notifications import Receiver, application
from api.http.observer import Observer
from process import serving
from process.clients import Proxies
from process.listening import AddressError
from telemetry.metrics import Metrics
from telemetry.tracing import configure
from tests.support.entrances import listen_at
from tests.support.waiting import in_time

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from process.serving import Door, Doorkeeper, Listen
    from store.write.group_commit import GroupCommitter


@dataclass(frozen=True)
class House:
    """What is served, and who speaks for it at the door."""

    app: web.Application
    keeper: Doorkeeper
    metrics: Metrics

    def serving(self, listen: Listen) -> AbstractAsyncContextManager[Door]:
        return serving.serving(self.app, listen, self.keeper)


def _ingress(metrics: Metrics) -> tuple[web.Application, Doorkeeper]:
    observer = Observer(metrics, configure("test").tracer, lambda: "r", Proxies(), lambda _: "")
    return web.Application(), observer


def _receiver(metrics: Metrics) -> tuple[web.Application, Doorkeeper]:
    nobody = cast("GroupCommitter", None)  # nothing here is taken
    receiver = Receiver(nobody, {}, metrics)
    return application(receiver, []), receiver


async def _here(_: web.Request) -> web.Response:
    return web.Response(status=204)


async def _failing(_: web.Request) -> web.Response:
    raise ZeroDivisionError


@pytest.fixture(params=[_ingress, _receiver], ids=["ingress", "receiver"])
def house(request: pytest.FixtureRequest) -> House:
    """With a request that is answered, and one that ends in a mistake of ours."""
    metrics = Metrics(CollectorRegistry())
    app, keeper = request.param(metrics)
    app.router.add_get("/here", _here)
    app.router.add_get("/failing", _failing)
    return House(app, keeper, metrics)


def _port_of(door: Door) -> int:
    return int(door.address.rpartition(":")[2])


async def test_a_taken_port_is_one_sentence(house: House) -> None:
    """Whoever starts a second server learns which address is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with house.serving(listen_at(port)):
                pass


async def test_two_processes_may_share_a_port(house: House) -> None:
    """The kernel spreads connections over those who asked for it."""
    async with (
        house.serving(listen_at()) as door,
        house.serving(listen_at(_port_of(door))) as other,
    ):
        assert other.address == door.address


_REQUEST = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The head of the next answer, which has no body."""
    async with in_time(5):
        return await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(("path", "status"), [(b"/here", b"204"), (b"/nowhere", b"404")])
@pytest.mark.parametrize("expected", [b"more", b"\xe9", b"100-Continue"])
async def test_what_a_client_expects_changes_no_answer(
    house: House, expected: bytes, path: bytes, status: bytes
) -> None:
    """Who waits to be told so sends its body; and nobody is refused for what it expects."""
    async with house.serving(listen_at()) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: " + expected + b"\r\n\r\n")
        answer = await _answer(reader)
        if expected == b"100-Continue":
            assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
            answer = await _answer(reader)
        assert answer.split()[1] == status
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
@pytest.mark.parametrize("before", [b"", _REQUEST])
async def test_who_sends_half_a_request_is_cut_off_after_the_read_timeout(
    house: House, before: bytes, begun: bytes
) -> None:
    """A new connection is expected to ask; an old one only to end what it has begun."""
    idle_s = 0.2 if before and not begun else 3600.0
    listen = listen_at(read_timeout_seconds=0.2, idle_timeout_seconds=idle_s)
    async with house.serving(listen) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(before)
        if before:
            await _answer(reader)
        writer.write(begun)
        async with in_time(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_waits_for_its_next_request_for_longer_than_the_read_timeout(
    house: House,
) -> None:
    """A balancer that keeps one open for a minute must not find it closed."""
    listen = listen_at(read_timeout_seconds=0.05, idle_timeout_seconds=3600.0)
    async with house.serving(listen) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        for _ in range(2):
            writer.write(_REQUEST)
            assert (await _answer(reader)).startswith(b"HTTP/1.1 204 ")
            # Nothing happens in it: that is what is tried.
            await asyncio.sleep(0.2)
        writer.close()


async def test_the_last_answer_of_a_connection_says_so(house: House) -> None:
    """Once the door closes whoever keeps a connection open is told to go elsewhere."""
    async with house.serving(listen_at()) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(_REQUEST)
        assert b"Connection: close" not in await _answer(reader)
        door.last_answers()
        writer.write(_REQUEST)
        assert b"Connection: close" in await _answer(reader)
        async with in_time(5):
            assert await reader.read() == b""
        writer.close()
        # The door is open still.
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(_REQUEST)
        assert b"Connection: close" in await _answer(reader)
        writer.close()


async def test_an_idle_connection_makes_room_for_a_new_one(house: House) -> None:
    """The one that is idle for longest; its client opens another when it has to say something."""
    async with house.serving(listen_at(connections_max=2)) as door:
        opened = [await asyncio.open_connection("127.0.0.1", _port_of(door)) for _ in range(2)]
        for reader, writer in opened:
            writer.write(_REQUEST)
            await _answer(reader)
        opened.append(await asyncio.open_connection("127.0.0.1", _port_of(door)))
        async with in_time(5):
            assert await opened[0][0].read() == b""
        for reader, writer in opened[1:]:
            writer.write(_REQUEST)
            await _answer(reader)
        for _, writer in opened:
            writer.close()


async def test_where_all_are_busy_a_new_connection_is_cut_off(house: House) -> None:
    """There is no file for it; the others do not notice."""
    async with house.serving(listen_at(connections_max=1)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        # Half a request is none that could be given up.
        writer.write(_REQUEST[:10])
        refused, other = await asyncio.open_connection("127.0.0.1", _port_of(door))
        async with in_time(5):
            with contextlib.suppress(ConnectionResetError):
                assert await refused.read() == b""
        labels = {"reason": "connections"}
        counted = "payments_http_requests_rejected_total"
        assert house.metrics.registry.get_sample_value(counted, labels) == 1
        writer.write(_REQUEST[10:])
        await _answer(reader)
        other.close()
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
        (b"GET /failing HTTP/1.1\r\nHost: x\r\n\r\n", b"500"),
    ],
)
async def test_what_is_no_request_and_what_fails_is_answered_and_hung_up_on(
    house: House, sent: bytes, status: bytes
) -> None:
    """And says no more of what went wrong."""
    async with house.serving(listen_at()) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(sent)
        async with in_time(5):
            answer = await reader.read()
        assert answer.split()[1] == status
        assert b"ZeroDivision" not in answer
        writer.close()
