"""Shops that are told by webhook: a real server for their endpoints, and a worker that sends.

Time is the wall clock moved on by the test, so that a retry of hours is waited for by nobody.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from opentelemetry.trace import NoOpTracer

from agents.deliver.dispatcher import Dispatcher
from agents.deliver.sending import sender
from payments.decision import Refused
from payments.webhook_endpoint import (
    ChangeWebhookEndpoint,
    CreateWebhookEndpoint,
    EndpointState,
    ReplayDeliveries,
    WebhookEndpoint,
)
from store.read.webhooks import (
    Delivery,
    DeliveryFilters,
    KnownEndpoint,
    webhook_attempts_of,
    webhook_deliveries_page,
    webhook_endpoint_by_id,
)
from store.write.group_commit import Submission
from store.write.webhook_deliveries import Wanted, WebhookEvent, record_webhook_events
from tests.support.factories import TENANT
from tests.support.waiting import eventually
from topics.contracts.webhook_urls import Reach
from topics.contracts.webhooks import Keyring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from uuid import UUID

    import asyncpg

    from payments.decision import Result
    from payments.webhook_endpoint import WebhookCommand
    from store.read.webhooks import WebhookAttempt
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

KEY: Final = "a key of tests"
KEYRING: Final = Keyring.of(KEY)
LOOPBACK: Final = Reach.of("127.0.0.0/8,::1/128")


def wanted(now: datetime) -> Wanted:
    """A claim of whatever is due, by a worker that then dies."""
    return Wanted(
        endpoint_ids=[],
        rooms=[],
        are_proven=[],
        room_max=32,
        unproven_max=32,
        claims_max=32,
        lease_id=uuid.uuid4(),
        leased_until=now + timedelta(seconds=30),
    )


@dataclass(frozen=True, slots=True)
class Received:
    """A request that an endpoint got."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, object]:
        event = orjson.loads(self.body)
        assert isinstance(event, dict)
        return event


@dataclass(slots=True)
class Shopfront:
    """An endpoint: `answers` are taken one by one, then all is 200; none while not `answering`."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    refuses: Callable[[dict[str, object]], bool] = lambda _: False
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[Received] = field(default_factory=list)
    under_way: int = 0

    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.received]

    async def take(self, request: web.Request) -> web.Response:
        received = Received(dict(request.headers), await request.read())
        self.under_way += 1
        try:
            await self.answering.wait()
        finally:
            self.under_way -= 1
        self.received.append(received)
        if self.refuses(received.event):
            return web.Response(status=500)
        return self.answers.pop(0) if self.answers else web.Response()


@dataclass(slots=True)
class Street:
    """Where the shops are; a server of its own."""

    address: str
    shops: dict[str, Shopfront] = field(default_factory=dict)

    def shop(self) -> Shopfront:
        name = uuid.uuid4().hex
        shop = self.shops[name] = Shopfront(f"{self.address}/{name}")
        shop.answering.set()
        return shop


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    """A server that answers for shops while the context is open."""
    opened = Street("")

    async def take(request: web.Request) -> web.Response:
        return await opened.shops[request.match_info["name"]].take(request)

    app = web.Application()
    app.router.add_post("/{name}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        opened.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield opened
    finally:
        for shop in opened.shops.values():
            shop.answering.set()
        await runner.cleanup()


@dataclass(slots=True)
class Office:
    """Endpoints, events and what is sent of them; `later` moves the clock on."""

    pool: asyncpg.Pool[asyncpg.Record]
    committer: GroupCommitter
    metrics: Metrics
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def later(self, **by: float) -> None:
        self.ahead += timedelta(**by)

    async def did(self, command: WebhookCommand) -> Result:
        result = (await self.committer.submit(Submission(command))).result
        assert not isinstance(result, Refused), result
        return result

    async def endpoint(
        self, url: str, *event_types: str, tenant_id: str = TENANT
    ) -> WebhookEndpoint:
        made = await self.did(
            CreateWebhookEndpoint(
                tenant_id=tenant_id,
                url=url,
                event_types=event_types,
                api_version="v1",
                description="",
                key_id=KEYRING.current_id,
                actor="test",
            )
        )
        assert isinstance(made, WebhookEndpoint)
        return made

    async def set_state(self, endpoint: WebhookEndpoint, state: EndpointState) -> None:
        await self.did(
            ChangeWebhookEndpoint(
                tenant_id=endpoint.tenant_id, endpoint_id=endpoint.id, actor="test", state=state
            )
        )

    async def replay(self, endpoint: WebhookEndpoint, **which: object) -> None:
        await self.did(
            ReplayDeliveries(
                tenant_id=endpoint.tenant_id,
                endpoint_id=endpoint.id,
                actor="test",
                **which,  # type: ignore[arg-type]  # fields of the command
            )
        )

    async def happens(
        self,
        *types: str,
        payment_id: UUID | None = None,
        tenant_id: str = TENANT,
        first: int = 1,
    ) -> list[WebhookEvent]:
        """Events of one payment, in this order."""
        about = payment_id or uuid.uuid4()
        events = [
            WebhookEvent(
                id=uuid.uuid4(),
                tenant_id=tenant_id,
                type=kind,
                payment_id=about,
                sequence=number,
                data=orjson.dumps({"payment": {"id": str(about)}, "type": kind}),
                occurred_at=datetime.now(UTC),
            )
            for number, kind in enumerate(types, first)
        ]
        await record_webhook_events(self.pool, events, self.now())
        return events

    async def deliveries(self, endpoint: WebhookEndpoint) -> list[Delivery]:
        """The oldest first."""
        filters = DeliveryFilters(endpoint_id=endpoint.id)
        async with self.pool.acquire() as connection:
            page = await webhook_deliveries_page(connection, filters, before=None, limit=1000)
        return list(page.items[::-1])

    async def attempts(self, delivery: Delivery) -> list[WebhookAttempt]:
        """The first one first."""
        async with self.pool.acquire() as connection:
            return (await webhook_attempts_of(connection, delivery.id))[::-1]

    async def known(self, endpoint: WebhookEndpoint) -> KnownEndpoint:
        async with self.pool.acquire() as connection:
            known = await webhook_endpoint_by_id(connection, None, endpoint.id)
        assert known is not None
        return known

    async def states(self, endpoint: WebhookEndpoint) -> list[str]:
        return [each.state.value for each in await self.deliveries(endpoint)]

    async def become(self, endpoint: WebhookEndpoint, *states: str) -> None:
        """Wait until the endpoint's deliveries are in these states, the oldest first."""

        async def are() -> bool:
            found = await self.states(endpoint)
            assert found == [*states], found
            return True

        await eventually(are)

    async def tried(self, endpoint: WebhookEndpoint, number: int, place: int = 0) -> None:
        """Wait until so many tries of a delivery are over."""

        async def is_so() -> bool:
            found = (await self.deliveries(endpoint))[place]
            attempts = await self.attempts(found)
            return len([each for each in attempts if each.duration_ms is not None]) == number

        await eventually(is_so)

    def worker(self, keyring: Keyring = KEYRING, reach: Reach = LOOPBACK) -> Worker:
        return Worker(self, keyring, reach)


@dataclass(slots=True)
class Worker:
    """One that sends, while its context is open."""

    office: Office
    keyring: Keyring
    reach: Reach

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[Dispatcher]:
        office, stopping = self.office, asyncio.Event()
        async with sender(self.reach, 256, office.now) as posting, asyncio.TaskGroup() as tasks:
            dispatcher = Dispatcher(
                pool=office.pool,
                committer=office.committer,
                sender=posting,
                keyring=self.keyring,
                metrics=office.metrics,
                tracer=NoOpTracer(),
                clock=office.now,
                chance=random.Random(1).random,
                lease_id=uuid.uuid4(),
                disable_after_s=timedelta(days=5).total_seconds(),
            )
            tasks.create_task(dispatcher.run(stopping))
            try:
                yield dispatcher
            finally:
                stopping.set()
