"""The ingress with TLS of its own, and behind proxies that say who asks."""

from __future__ import annotations

import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from local.program import free_port, running, start, stop, until_ready
from tests.support.api.balancer import balanced
from tests.support.api.ingress import Client
from tests.support.api.launch import Launch, client_of, is_ready
from tests.support.certificates import Authority
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_PAYMENTS = "/api/v1/payments"


async def test_payments_are_taken_over_tls(launch: Launch, tmp_path: Path) -> None:
    """From who shows a certificate; health and metrics have a port of their own, without."""
    authority = Authority(tmp_path / "papers")
    paper, ours = authority.issue("server", "localhost"), authority.issue("us")
    port, metrics_port = free_port(), free_port()
    program = launch.program(
        metrics_port,
        PAYMENTS_SERVER_PORT=str(port),
        PAYMENTS_OBSERVABILITY_METRICS_PORT=str(metrics_port),
        PAYMENTS_SERVER_SSL_CERTIFICATE_FILE=str(paper.certificate),
        PAYMENTS_SERVER_SSL_KEY_FILE=str(paper.key),
        PAYMENTS_SERVER_SSL_CLIENT_CA_FILE=str(authority.authority),
    )
    context = ssl.create_default_context(cafile=authority.authority)
    context.load_cert_chain(ours.certificate, ours.key)
    process = await start(program)
    await until_ready(program, process, within_seconds=30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        client = Client(session, f"https://localhost:{port}")
        assert (await client.pay(await client.account())).status == 202
    async with client_of(port) as plain:
        with pytest.raises(aiohttp.ClientError):
            await plain.get(_PAYMENTS)
    assert await is_ready(metrics_port)
    assert await stop(program, process, within_seconds=20)
    assert process.returncode == 0
    said = program.log.read_text()
    assert f"https://127.0.0.1:{port}" in said
    assert "Traceback" not in said


@asynccontextmanager
async def coming_from(address: str, to: str) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(session, to)


async def answered(client: Client, *forged: str) -> int:
    """The status of a request that says it comes from elsewhere."""
    headers = {"X-Forwarded-For": ", ".join(forged)} if forged else {}
    return (await client.send("GET", _PAYMENTS, headers=headers)).status


@pytest.mark.skipif(sys.platform == "darwin", reason="it has one loopback address alone")
@pytest.mark.parametrize("trusted", ["127.0.0.1/32", ""])
async def test_who_asks_is_whom_our_proxies_name(launch: Launch, trusted: str) -> None:
    """Each address may ask once here; what a client writes itself gives it no other one."""
    port = free_port()
    program = launch.program(
        port,
        PAYMENTS_SERVER_TRUSTED_PROXIES=trusted,
        PAYMENTS_RATE_LIMIT_ADDRESS_PER_SECOND="0.01",
    )
    async with (
        running(program),
        balanced(f"http://127.0.0.1:{port}") as proxy,
        coming_from("127.0.0.2", proxy.address) as one,
        coming_from("127.0.0.3", proxy.address) as other,
        coming_from("127.0.0.4", f"http://127.0.0.1:{port}") as direct,
    ):
        await eventually(lambda: bool(proxy.ready))
        assert await answered(one) == 200
        assert await answered(one, "203.0.113.7") == 429
        assert await answered(other) == (200 if trusted else 429)
        assert await answered(direct, "203.0.113.7") == 200
        assert await answered(direct, "203.0.113.8") == 429
    lines = [orjson.loads(line) for line in program.log.read_bytes().splitlines()]
    clients = [line["client"] for line in lines if line.get("route") == _PAYMENTS]
    known = ["127.0.0.2"] * 2 + ["127.0.0.3"] if trusted else ["127.0.0.1"] * 3
    assert clients == known + ["127.0.0.4"] * 2
