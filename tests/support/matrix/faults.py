"""What servers do on their bad days, by name: each is so while its context is open."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis

from tests.support.front import Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.support.front import Front
    from tests.support.matrix.site import Site

    Fault = Callable[[Site], AbstractAsyncContextManager[None]]

_LOADING: Final = b"-LOADING Redis is loading the dataset in memory\r\n"


@asynccontextmanager
async def _way(
    front: Callable[[Site], Front], way: Way, answer: bytes | None, site: Site
) -> AsyncIterator[None]:
    front(site).go(way, answer)
    try:
        yield
    finally:
        front(site).go(Way.OPEN)


@asynccontextmanager
async def _read_only(site: Site) -> AsyncIterator[None]:
    """As on a primary that was made a standby: sessions stay, and so does what they may not do."""
    await site.admin.execute("ALTER DATABASE payments SET default_transaction_read_only = on")
    await site.end_sessions()
    try:
        yield
    finally:
        # Whoever has a session from before keeps it as it is.
        await site.admin.execute("ALTER DATABASE payments RESET default_transaction_read_only")


@asynccontextmanager
async def _no_connections(site: Site) -> AsyncIterator[None]:
    await site.admin.execute("ALTER DATABASE payments CONNECTION LIMIT 0")
    await site.end_sessions()
    try:
        yield
    finally:
        await site.admin.execute("ALTER DATABASE payments CONNECTION LIMIT -1")


@asynccontextmanager
async def _full_redis(site: Site) -> AsyncIterator[None]:
    async with Redis(host=site.redis_address.host, port=site.redis_address.port) as redis:
        await redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            await redis.config_set("maxmemory", 0)


@asynccontextmanager
async def _redis_a_replica(site: Site) -> AsyncIterator[None]:
    async with Redis(host=site.redis_address.host, port=site.redis_address.port) as redis:
        await redis.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def _frozen(port: Callable[[Site], int], site: Site) -> AsyncIterator[None]:
    process = site.who_listens(port(site))
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@asynccontextmanager
async def _armed(kind: str, site: Site) -> AsyncIterator[None]:
    for vendor in ("stripe", "paypal"):
        site.simulator.arm(kind, vendor=vendor, times=1_000_000)
    try:
        yield
    finally:
        site.simulator.clear()


def _fronted(name: str, front: Callable[[Site], Front], *ways: Way) -> dict[str, Fault]:
    return {f"{name} {way}": partial(_way, front, way, None) for way in ways}


FAULTS: Final[Mapping[str, Fault]] = {
    **_fronted("postgres", lambda site: site.postgres, Way.GONE, Way.DARK, Way.MUTE, Way.SLOW),
    "postgres read-only": _read_only,
    "postgres out of connections": _no_connections,
    **_fronted("redis", lambda site: site.redis, Way.GONE, Way.DARK, Way.MUTE, Way.SLOW),
    "redis loading": partial(_way, lambda site: site.redis, Way.OPEN, _LOADING),
    "redis frozen": partial(_frozen, lambda site: site.redis_address.port),
    "redis read-only": _redis_a_replica,
    "redis out of memory": _full_redis,
    **_fronted("kafka", lambda site: site.kafka, Way.DARK, Way.MUTE),
    "kafka gone": lambda site: site.broker.away(),
    "kafka frozen": partial(_frozen, lambda site: site.broker_port),
    **_fronted("provider", lambda site: site.provider, Way.GONE, Way.DARK, Way.MUTE, Way.SLOW),
    "provider broken": partial(_armed, "error_before"),
    "provider limited": partial(_armed, "rate_limit"),
}
