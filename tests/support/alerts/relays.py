"""Faults of relays and their slots, of what is read behind them, and of webhooks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from redis.asyncio import Redis

from process.addresses import KafkaAddress
from tests.support.agents.webhooks import street
from tests.support.alerts.fault import Fault
from topics.kafka import administration
from topics.names import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.alerts.place import Place

_SLOT: Final = "payments_redis"
_ENDPOINTS: Final = "/api/v1/webhook-endpoints"
_BY_HAND: Final = ("--reason", "a test")
# A hundred megabytes, which no relay is interested in.
_WAL: Final = """
SELECT pg_logical_emit_message(FALSE, 'test', repeat('x', 1000000)) FROM generate_series(1, 100)
"""


@asynccontextmanager
async def _not_read(place: Place) -> AsyncIterator[None]:
    """A relay is away, the WAL piles up, and soon there will be more of it than is kept."""
    async with place.without("relay-redis"):
        await place.admin.execute(_WAL)
        yield


@asynccontextmanager
async def _lost(place: Place) -> AsyncIterator[None]:
    """Somebody drops the slot of a relay that is away."""
    async with place.without("relay-redis"):
        await place.admin.execute("SELECT pg_drop_replication_slot($1)", _SLOT)
        yield


@asynccontextmanager
async def _too_large(place: Place) -> AsyncIterator[None]:
    """The topic takes less than a payment's event has."""
    await _take_at_most(place, 100)
    try:
        await place.paid(2)
        yield
    finally:
        await _take_at_most(place, 1_048_588)
        await _send_what_was_set_aside(place)


async def _take_at_most(place: Place, size: int) -> None:
    async with administration(KafkaAddress(place.platform.kafka)) as admin:
        config = ConfigResource(
            ConfigResourceType.TOPIC, EVENTS.name, configs={"max.message.bytes": str(size)}
        )
        await admin.alter_configs([config])


async def _send_what_was_set_aside(place: Place) -> None:
    firsts = "SELECT DISTINCT ON (key) id FROM relay_set_aside ORDER BY key, position"
    for row in await place.admin.fetch(firsts):
        await place.platform.command("relay", "retry", str(row["id"]), "--sink", "kafka", *_BY_HAND)


@asynccontextmanager
async def _paused(place: Place) -> AsyncIterator[None]:
    await place.platform.command("relay", "pause", "--sink", "kafka", *_BY_HAND)
    try:
        yield
    finally:
        await place.platform.command("relay", "resume", "--sink", "kafka", *_BY_HAND)


@asynccontextmanager
async def _slow_sink(place: Place) -> AsyncIterator[None]:
    """The broker stands still; what was committed since waits for it."""
    kafka = place.site.who_listens(place.site.broker_port)
    kafka.suspend()
    try:
        async with place.clients.at_work():
            yield
    finally:
        kafka.resume()
        await place.until_ended()


@asynccontextmanager
async def _unread_group(place: Place) -> AsyncIterator[None]:
    """Somebody made a group, and reads nothing."""
    address = place.site.redis_address
    async with Redis(host=address.host, port=address.port) as redis:
        await redis.xgroup_create(EVENTS.name, "somebody", id="0")
        try:
            await place.paid()
            yield
        finally:
            await redis.xgroup_destroy(EVENTS.name, "somebody")


@asynccontextmanager
async def _unfinished(place: Place) -> AsyncIterator[None]:
    """A transaction that writes messages does not end."""
    async with place.session() as somebody:
        await somebody.execute("BEGIN; LOCK TABLE outbox IN ROW EXCLUSIVE MODE")
        await somebody.execute("SELECT pg_current_xact_id()")
        yield


@asynccontextmanager
async def _dead_endpoints(place: Place) -> AsyncIterator[None]:
    """One that nobody listens at, and one that wants nothing any more."""
    async with street() as shops:
        gone = shops.shop()
        gone.answers.extend(web.Response(status=410) for _ in range(100))
        made = [
            await place.post(_ENDPOINTS, {"url": url, "event_types": []})
            for url in ("http://127.0.0.1:9/", gone.url)
        ]
        try:
            async with place.clients.at_work():
                yield
        finally:
            for each in made:
                await place.delete(f"{_ENDPOINTS}/{each['id']}")


@asynccontextmanager
async def _nobody_delivers(place: Place) -> AsyncIterator[None]:
    """What is recorded for an endpoint is not sent, for a minute: no worker runs."""
    async with street() as shops:
        shop = shops.shop()
        shop.answering.clear()
        made = await place.post(_ENDPOINTS, {"url": shop.url, "event_types": []})
        try:
            await place.paid()
            await place.counted("SELECT least(count(*), 1) FROM webhook_deliveries", 1)
            await place.process("deliver").kill()
            await place.admin.execute(
                "UPDATE webhook_deliveries SET due_at = now() - interval '90 seconds'"
                " WHERE due_at IS NOT NULL"
            )
            yield
        finally:
            await place.back("deliver")
            await place.delete(f"{_ENDPOINTS}/{made['id']}")


FAULTS: Final[Mapping[str, Fault]] = {
    "a slot is not read": Fault(_not_read, ("SlotNotRead", "SlotNearLoss")),
    "a slot is dropped": Fault(_lost, ("SlotLost", "SlotNotRead"), is_slow=True),
    "a message is too large": Fault(_too_large, ("RelaySetAside",), is_slow=True),
    "a relay is paused": Fault(_paused, ("RelayPaused",), is_slow=True),
    "kafka stands still": Fault(_slow_sink, ("SlotBehind",), is_slow=True),
    "a stream's group reads nothing": Fault(_unread_group, ("RedisGroupBehind",), is_slow=True),
    "a transaction does not end": Fault(_unfinished, ("FeedBehind",), is_slow=True),
    "endpoints are dead": Fault(
        _dead_endpoints, ("WebhookEndpointFailing", "WebhookEndpointDisabled")
    ),
    "nobody delivers": Fault(_nobody_delivers, ("WebhookDeliveriesLate",)),
}
