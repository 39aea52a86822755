"""What is said of a request that got no answer: never sent, or perhaps obeyed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from providers.transport import Answer, Call, Endpoint, Exchange, Lost, NotSent, Transport
from tests.support.project.tree import ROOT
from tests.support.providers import wire
from tests.support.waiting import eventually

_POST = Call(method="POST", path="/charge", headers={"X-Test": "1"}, body=b"amount=1")
_GARBAGE = {
    "no http": b"\x00\xff\x16\x03\x01 not http at all\r\n\r\n",
    "nothing": b"",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "endless head": b"HTTP/1.1 200 OK\r\nX-Fill: " + b"x" * 100_000 + b"\r\n\r\n",
}


@asynccontextmanager
async def transport(
    url: str, *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0, connections: int = 10
) -> AsyncIterator[Transport]:
    opened = Transport(
        Endpoint(
            base_url=url,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            connections=connections,
        )
    )
    try:
        yield opened
    finally:
        await opened.aclose()


async def exchange(
    url: str, *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0
) -> Exchange:
    async with transport(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s) as opened:
        return await opened.exchange(_POST)


async def test_a_refused_connection_is_never_sent() -> None:
    """Where nobody listens, nothing can have been read."""
    assert await exchange(wire.refused_url()) == NotSent("Connection refused")


async def test_a_connection_that_does_not_come_about_is_never_sent() -> None:
    """The time to connect has a bound of its own, and its end is no doubt."""
    async with wire.unaccepting() as url:
        assert isinstance(await exchange(url, connect_timeout_s=0.3), NotSent)


async def test_a_name_that_does_not_resolve_is_never_sent() -> None:
    """A wrong address is no doubt either."""
    assert isinstance(await exchange("http://payments.invalid"), NotSent)


async def test_a_connection_that_is_not_secured_is_never_sent() -> None:
    """No byte of the request before the server has shown who it is; and what is wrong is said."""

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await exchange(f"https://127.0.0.1:{port}")
    assert said == NotSent("TLS WRONG_VERSION_NUMBER")


_STARVED = """
import asyncio, os, resource, sys
from providers.transport import Call, Endpoint, Transport

async def starved():
    asked = Transport(Endpoint(base_url=sys.argv[1]))
    open_now = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now, open_now))
    print(await asked.exchange(Call(method="POST", path="/charge", headers={}, body=b"amount=1")))

asyncio.run(starved())
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_without_a_file_for_its_socket_it_is_never_sent(host: str) -> None:
    """A process out of file descriptors, with a name to resolve or without."""
    async with wire.serving(wire.reply(200, {})) as server:
        starved = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _STARVED, server.url.replace("127.0.0.1", host),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await starved.communicate()
        assert said.startswith(b"NotSent(reason=")
        assert server.seen == []


async def test_waiting_for_a_free_connection_is_never_sent() -> None:
    """A request that waited in the pool for its turn, in vain, has not left."""
    async with (
        wire.serving() as server,
        transport(server.url, connect_timeout_s=0.3, connections=1) as opened,
    ):
        server.then(server.hang)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(opened.exchange(_POST))
            await eventually(lambda: len(server.seen) == 1)
            assert await opened.exchange(_POST) == NotSent("ConnectionTimeoutError")
            server.released.set()
        assert isinstance(first.result(), Lost)


@pytest.mark.parametrize("behaviour", [wire.close, wire.reset])
async def test_a_connection_that_ends_after_the_request_is_lost(behaviour: wire.Behaviour) -> None:
    """The request was read; whether it was obeyed nobody said."""
    async with wire.serving(behaviour) as server:
        assert isinstance(await exchange(server.url), Lost)
        assert server.seen[0].body == b"amount=1"


async def test_no_answer_in_time_is_lost() -> None:
    """A provider that hangs may have acted before it did."""
    async with wire.serving() as server:
        server.then(server.hang)
        assert isinstance(await exchange(server.url, timeout_s=0.2), Lost)


@pytest.mark.parametrize("keep", [0, 1, 9])
async def test_a_cut_answer_is_lost(keep: int) -> None:
    """Half an answer is none: its first half may read like another."""
    async with wire.serving(wire.truncated(200, {"id": "pi_1"}, keep=keep)) as server:
        assert isinstance(await exchange(server.url), Lost)


@pytest.mark.parametrize("data", _GARBAGE.values(), ids=_GARBAGE)
async def test_garbage_is_lost(data: bytes) -> None:
    """Whatever a server sends, the answer is an outcome, never an exception."""
    async with wire.serving(wire.raw(data)) as server:
        assert isinstance(await exchange(server.url), Lost)


async def test_an_endless_answer_is_lost() -> None:
    """A body larger than any answer of the vendor is not taken into memory."""
    async with wire.serving(wire.reply(200, b"x" * 2_100_000)) as server:
        assert await exchange(server.url) == Lost("answer too long")


async def test_a_redirect_is_not_followed() -> None:
    """A POST that is moved elsewhere would arrive as another request, or at another host."""
    async with wire.serving(wire.reply(302, {}, {"Location": "/elsewhere"})) as server:
        answer = await exchange(server.url)
        assert isinstance(answer, Answer)
        assert answer.status == 302
        assert len(server.seen) == 1


async def test_connections_are_kept() -> None:
    """Calls one after the other share a connection."""
    async with wire.serving(wire.reply(200, {})) as server, transport(server.url) as opened:
        for _ in range(3):
            assert isinstance(await opened.exchange(_POST), Answer)
        assert server.connections == 1


async def test_a_kept_connection_that_breaks_is_lost() -> None:
    """A reused connection counts as one from the first byte on: the request may have arrived."""
    async with (
        wire.serving(wire.reply(200, {}), wire.close) as server,
        transport(server.url) as opened,
    ):
        await opened.exchange(_POST)
        assert isinstance(await opened.exchange(_POST), Lost)
        assert server.connections == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("100000", 300.0),
        ("-1", None),
        ("nan", None),
        ("1_0", None),
        ("1.2.3", None),
        (".", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_wish_of_a_provider_is_read_with_care(header: str, seconds: float | None) -> None:
    """Retry-After in seconds is believed up to a bound; anything else is no wish."""
    assert Answer(429, {"Retry-After": header}, b"").retry_after_s == seconds
