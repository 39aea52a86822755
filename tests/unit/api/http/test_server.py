"""Where the ingress listens."""

import asyncio
import socket

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from api.http.observer import OBSERVER, Observer
from api.http.server import AddressError, Listen, is_loopback, serving
from telemetry.metrics import Metrics
from telemetry.tracing import configure


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


def _listen(port: int, **times: float) -> Listen:
    given = {"read_timeout_seconds": 5.0, "write_timeout_seconds": 5.0}
    shutdown = {"shutdown_timeout_seconds": 5.0}
    return Listen(host="127.0.0.1", port=port, **{**given, **shutdown, **times})


def _app() -> web.Application:
    app = web.Application()
    app[OBSERVER] = Observer(Metrics(CollectorRegistry()), configure("test").tracer, lambda: "r")
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
    async with serving(_app(), _listen(0)) as address:
        port = int(address.rpartition(":")[2])
        async with serving(_app(), _listen(port)) as other:
            assert other == address


async def test_a_silent_connection_is_closed_after_the_read_timeout() -> None:
    """Half a request head does not hold a connection for ever."""
    async with serving(_app(), _listen(0, read_timeout_seconds=0.2)) as address:
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
