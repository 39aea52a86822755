"""Where the ingress listens."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from api.http.observer import OBSERVER, Observer
from api.http.server import Door, Listen, is_loopback, serving
from process.clients import Proxies
from process.listening import AddressError
from telemetry.metrics import Metrics
from telemetry.tracing import configure
from tests.support.waiting import in_time


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - to see it refused
        ("::", False),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("no.such.host.invalid", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, *, loopback: bool) -> None:
    """Open mode may listen there and nowhere else."""
    assert is_loopback(host) is loopback


def _listen(port: int, *, connections_max: int = 100, **times: float) -> Listen:
    names = ("read_timeout", "write_timeout", "idle_timeout", "drain")
    given = {f"{name}_seconds": 5.0 for name in names}
    times = {**given, **times}
    return Listen(host="127.0.0.1", port=port, connections_max=connections_max, tls=None, **times)


def _port_of(door: Door) -> int:
    return int(door.address.rpartition(":")[2])


async def _here(_: web.Request) -> web.Response:
    return web.Response(status=204)


def _app() -> web.Application:
    app = web.Application()
    app.router.add_get("/here", _here)
    metrics = Metrics(CollectorRegistry())
    app[OBSERVER] = Observer(
        metrics, configure("test").tracer, lambda: "r", Proxies(), lambda _: ""
    )
    return app


async def test_a_taken_port_is_one_sentence() -> None:
    """Whoever starts a second server learns which address is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(_app(), _listen(port)):
                pass


async def test_two_processes_may_share_a_port() -> None:
    """The kernel spreads connections over those who asked for it."""
    async with (
        serving(_app(), _listen(0)) as door,
        serving(_app(), _listen(_port_of(door))) as other,
    ):
        assert other.address == door.address


_REQUEST = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The head of the next answer, which has no body."""
    async with in_time(5):
        return await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
@pytest.mark.parametrize("before", [b"", _REQUEST])
async def test_who_sends_half_a_request_is_cut_off_after_the_read_timeout(
    before: bytes, begun: bytes
) -> None:
    """A new connection is expected to ask; an old one only to end what it has begun."""
    idle_s = 0.2 if before and not begun else 3600.0
    listen = _listen(0, read_timeout_seconds=0.2, idle_timeout_seconds=idle_s)
    async with serving(_app(), listen) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        writer.write(before)
        if before:
            await _answer(reader)
        writer.write(begun)
        async with in_time(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_waits_for_its_next_request_for_longer_than_the_read_timeout() -> None:
    """A balancer that keeps one open for a minute must not find it closed."""
    listen = _listen(0, read_timeout_seconds=0.05, idle_timeout_seconds=3600.0)
    async with serving(_app(), listen) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        for _ in range(2):
            writer.write(_REQUEST)
            assert (await _answer(reader)).startswith(b"HTTP/1.1 204 ")
            # Nothing happens in it: that is what is tried.
            await asyncio.sleep(0.2)
        writer.close()


async def test_the_last_answer_of_a_connection_says_so() -> None:
    """Once the door closes whoever keeps a connection open is told to go elsewhere."""
    async with serving(_app(), _listen(0)) as door:
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


async def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    """The one that is idle for longest; its client opens another when it has to say something."""
    async with serving(_app(), _listen(0, connections_max=2)) as door:
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


async def test_where_all_are_busy_a_new_connection_is_cut_off() -> None:
    """There is no file for it; the others do not notice."""
    async with serving(_app(), _listen(0, connections_max=1)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port_of(door))
        # Half a request is none that could be given up.
        writer.write(_REQUEST[:10])
        refused, other = await asyncio.open_connection("127.0.0.1", _port_of(door))
        async with in_time(5):
            with contextlib.suppress(ConnectionResetError):
                assert await refused.read() == b""
        writer.write(_REQUEST[10:])
        await _answer(reader)
        other.close()
        writer.close()
