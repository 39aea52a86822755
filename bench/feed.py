"""What a thousand clients cost who listen to the feed of events, while nothing happens and when.

They listen to one ingress by raw connections, from now on. Measured are the ingress's memory and
CPU time before and beside them; then a payment is made, and each listener notes when its event
came: from the moment its POST was answered, until the first and until the last one has it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import psutil

from bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.target import Target

_LISTENERS: Final = 1000
# In a run that only shows that it can be run.
_FEW: Final = 20
_TINY_S: Final = 1.0
_MIB: Final = 2**20
_SETTLED_S: Final = 2.0


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Memory and CPU of idle listeners, and how soon they hear of what happens."""
    count = _FEW if seconds < _TINY_S else _LISTENERS
    ingress = _ingress(target)
    (account,) = await target.accounts(1)
    alone_rss, alone_share = await _observed(ingress, seconds)
    async with _listening(target.url, count, await _position(target.url)) as listeners:
        rss, share = await _observed(ingress, seconds)
        answered_at = await _paid(target.url, account)
        heard_at = await asyncio.gather(*(_heard(each) for each in listeners))
    await target.at_rest()
    note = f"{count} listeners, one tenant"
    return [
        Figure("memory of idle listeners", (rss - alone_rss) / _MIB, "MiB", note),
        Figure("memory of an idle listener", (rss - alone_rss) / 1024 / count, "KiB", note),
        Figure("CPU of the ingress without listeners", alone_share, "% of a core"),
        Figure("CPU of the ingress with idle listeners", share, "% of a core", note),
        Figure("POST answered to event heard, first", (min(heard_at) - answered_at) * 1000, "ms"),
        Figure("POST answered to event heard, last", (max(heard_at) - answered_at) * 1000, "ms"),
    ]


def _ingress(target: Target) -> psutil.Process:
    (pid,) = [each.pid for each in target.record.processes if each.name == "ingress" and each.pid]
    return psutil.Process(pid)


async def _observed(process: psutil.Process, seconds: float) -> tuple[int, float]:
    """Its memory, and its share of a core over that time."""
    await asyncio.sleep(min(_SETTLED_S, seconds))
    before, began = sum(process.cpu_times()[:2]), time.perf_counter()
    await asyncio.sleep(seconds)
    spent = sum(process.cpu_times()[:2]) - before
    return process.memory_info().rss, 100 * spent / (time.perf_counter() - began)


async def _position(url: str) -> str:
    """Where the feed is now: a write says so."""
    body = {"user_id": "bench", "currency": "USD"}
    async with (
        aiohttp.ClientSession(url, raise_for_status=True) as http,
        http.post("/api/v1/accounts", json=body) as answer,
    ):
        return answer.headers["Stream-Position"]


@asynccontextmanager
async def _listening(
    url: str, count: int, cursor: str
) -> AsyncIterator[list[asyncio.StreamReader]]:
    where = urlsplit(url)
    asked = f"GET /api/v1/events/stream?cursor={cursor}&types=payment.created HTTP/1.1\r\n"
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            stack.callback(writer.close)
            writer.write(f"{asked}Host: {where.netloc}\r\n\r\n".encode())
            assert b" 200 " in await reader.readline()
            readers.append(reader)
        yield readers


async def _paid(url: str, account: str) -> float:
    """When the POST of a payment was answered."""
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": 1,
        "currency": "USD",
        "provider": "stripe",
    }
    async with (
        aiohttp.ClientSession(url, raise_for_status=True) as http,
        http.post("/api/v1/payments", json=body, headers={"Idempotency-Key": "feed"}) as answer,
    ):
        assert answer.status == 202
        return time.perf_counter()


async def _heard(reader: asyncio.StreamReader) -> float:
    """When an event came."""
    async with asyncio.timeout(30):
        while not (await reader.readline()).startswith(b"data:"):
            continue
        return time.perf_counter()
