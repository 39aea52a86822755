"""What listens: all who wait are taken in at once; with TLS, who is, and new certificates."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

import process.listening
from process.listening import ServerTls, is_loopback, listening
from telemetry.metrics import Metrics
from tests.support.certificates import Authority
from tests.support.entrances import entrance_at
from tests.support.waiting import eventually

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.certificates import Paper


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def paper(authority: Authority) -> Paper:
    return authority.issue("server", "localhost")


@asynccontextmanager
async def listener(
    tls: ServerTls, metrics: Metrics | None = None, handshakes_max: int = 100
) -> AsyncIterator[int]:
    """Its port; whatever it is asked, the answer is empty."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    entrance = entrance_at(tls=tls, metrics=metrics, handshakes_max=handshakes_max)
    port = entrance.listener.getsockname()[1]
    server = web.Server(answer)
    async with listening(entrance, server):
        yield port
    await server.shutdown()


def trusting(authority: Authority, shown: Paper | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.authority)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def asked(connection: Connection) -> object:
    """The serial number of its certificate; raises OSError if there is no answer."""
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    return writer.get_extra_info("peercert")["serialNumber"]


async def shown_at(port: int, context: ssl.SSLContext) -> object:
    """What a new connection is shown."""
    async with connected(port, context) as connection:
        try:
            return await asked(connection)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("no answer") from error


async def is_let_in(port: int, context: ssl.SSLContext) -> bool:
    try:
        return bool(await shown_at(port, context))
    except OSError:
        return False


def put(new: Paper, old: Paper) -> None:
    """As whoever renews a certificate does: a file takes the place of another."""
    for part in ("certificate", "key"):
        getattr(new, part).replace(getattr(old, part))


async def test_new_connections_are_shown_a_new_certificate_and_none_is_lost(
    authority: Authority, paper: Paper
) -> None:
    """Renewed three times under clients: who is connected stays, who comes gets the new one."""
    context = trusting(authority)
    async with (
        listener(ServerTls(paper.certificate, paper.key)) as port,
        connected(port, context) as staying,
        asyncio.TaskGroup() as tasks,
    ):
        first = await asked(staying)
        seen: list[object] = []

        async def come_and_go() -> None:
            while True:
                seen.append(await shown_at(port, context))

        def is_seen(count: int) -> bool:
            return len(set(seen)) == count

        coming = tasks.create_task(come_and_go())
        for number in range(3):
            put(authority.issue(f"new-{number}", "localhost"), paper)
            await eventually(partial(is_seen, number + 2))
        coming.cancel()
        assert await asked(staying) == first


async def test_a_new_certificate_that_is_no_good_leaves_the_one_before(
    authority: Authority, paper: Paper
) -> None:
    """Half of a pair, or no certificate at all: a metric says so until it is mended."""
    metrics, context = Metrics(CollectorRegistry()), trusting(authority)

    def refused() -> bool:
        return metrics.registry.get_sample_value("payments_certificate_refused") == 1

    async with listener(ServerTls(paper.certificate, paper.key), metrics) as port:
        first = await shown_at(port, context)
        new = authority.issue("new", "localhost")
        new.certificate.replace(paper.certificate)
        await eventually(refused)
        assert await shown_at(port, context) == first
        new.key.replace(paper.key)
        await eventually(lambda: not refused())
        second = await shown_at(port, context)
        assert second != first
        paper.certificate.unlink()
        await eventually(refused)
        assert await shown_at(port, context) == second


async def test_an_authority_of_clients_that_changes_counts_too(
    authority: Authority, paper: Paper, tmp_path: Path
) -> None:
    others = Authority(tmp_path / "others")
    known = tmp_path / "clients.pem"
    known.write_bytes(authority.authority.read_bytes())
    ours, theirs = (trusting(authority, each.issue("client")) for each in (authority, others))
    async with listener(ServerTls(paper.certificate, paper.key, clients=known)) as port:
        assert await is_let_in(port, ours)
        assert not await is_let_in(port, theirs)
        known.write_bytes(others.authority.read_bytes())
        await eventually(lambda: is_let_in(port, theirs))
        assert not await is_let_in(port, ours)


async def test_who_is_asked_for_a_certificate_and_who_may_show_one(
    authority: Authority, paper: Paper, tmp_path: Path
) -> None:
    """A stranger's is refused in either case."""
    client = authority.issue("client")
    stranger = Authority(tmp_path / "others").issue("stranger")
    strict = ServerTls(paper.certificate, paper.key, clients=authority.authority)
    for tls, nobody_comes_in in ((strict, False), (replace(strict, required=False), True)):
        async with listener(tls) as port:
            assert await is_let_in(port, trusting(authority, client))
            assert not await is_let_in(port, trusting(authority, stranger))
            assert await is_let_in(port, trusting(authority)) is nobody_comes_in


async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority, paper: Paper) -> None:
    tls = ServerTls(paper.certificate, paper.key)
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_2
    oldest = trusting(authority)
    oldest.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listener(tls) as port:
        assert await is_let_in(port, oldest)


async def test_all_who_wait_are_taken_in_though_the_process_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a pass of the event loop, each of which may take long, not one in each."""
    monkeypatch.setattr(process.listening, "_ACCEPTED_MAX", 100)
    made = list[asyncio.BaseTransport]()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    entrance = entrance_at()
    async with listening(entrance, Client):
        clients = [socket.create_connection(entrance.listener.getsockname()) for _ in range(50)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(made) == 50
    for transport in made:
        transport.close()
    for client in clients:
        client.close()


async def test_who_finds_no_file_left_is_taken_in_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process without files goes on with what it has, and does not spin meanwhile."""
    monkeypatch.setattr(process.listening, "_ACCEPT_AGAIN_S", 0.01)
    entrance = entrance_at()
    tries = 0

    class Full:
        """The listener of a process that has as many files open as it may, for two tries."""

        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            if tries == 3:  # it is nothing of ours: the next one is taken in at once
                raise OSError(errno.EPROTO, "Protocol error")
            return entrance.listener.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(entrance.listener, name)

    made = asyncio.Event()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set()
            transport.close()

    async with listening(replace(entrance, listener=cast("socket.socket", Full())), Client):
        address = entrance.listener.getsockname()
        with socket.create_connection(address):
            await asyncio.wait_for(made.wait(), 10)
    assert tries < 10


async def test_who_never_shakes_hands_keeps_nobody_out(authority: Authority, paper: Paper) -> None:
    """Of as many as there may be the one that has been silent for longest makes room."""
    tls = ServerTls(paper.certificate, paper.key)
    async with listener(tls, handshakes_max=3) as port, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connected(port, None)) for _ in range(3)]
        assert await is_let_in(port, trusting(authority))
        (first, _), *others = silent
        with suppress(ConnectionError):
            assert await asyncio.wait_for(first.read(), 10) == b""
        assert not any(reader.at_eof() for reader, _ in others)


async def test_who_speaks_no_tls_is_shown_the_door_and_others_are_let_in(
    authority: Authority, paper: Paper
) -> None:
    async with listener(ServerTls(paper.certificate, paper.key)) as port:
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert await is_let_in(port, trusting(authority))


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
