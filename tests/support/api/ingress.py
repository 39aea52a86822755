"""A whole ingress on a free port, on the test's own database and Valkey, and a client of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from api import app
from api.access.authentication import new_secret
from api.access.rate_limits import Limit
from api.access.scopes import Scope
from api.feed.feed import FeedLimits
from api.handling.dependencies import Dependencies
from api.handling.opening import Resources, opened
from api.http.observer import OBSERVER
from lag.report import StreamsReport
from payments.progress import Policy
from process.serving import Listen, serving
from providers.registry import NAMES, REFERENCES, RULES
from store import redis
from store.read.api_keys import ApiKey
from store.write.api_keys import insert_api_key
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits
from telemetry.metrics import Metrics
from telemetry.tracing import configure
from topics.contracts.webhook_urls import Reach
from topics.contracts.webhooks import Keyring

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import RedisAddress

ALL_SCOPES = tuple(scope.value for scope in Scope)


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = orjson.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def code(self) -> object:
        """The problem's code; an answer that is a problem is a whole one."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["X-Request-ID"]
        return problem["code"]

    def text(self, name: str) -> str:
        value = self.json[name]
        assert isinstance(value, str), f"{name} is {value!r}"
        return value


@dataclass(frozen=True)
class Client:
    """Speaks HTTP to the ingress, with a key or without."""

    session: aiohttp.ClientSession
    address: str
    token: str | None = None

    def with_token(self, token: str | None) -> Self:
        return type(self)(self.session, self.address, token)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.address + path, data=body, headers=sent, skip_auto_headers=["Content-Type"]
        ) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str) -> Reply:
        return await self.send("GET", path)

    async def post(
        self, path: str, body: object = None, *, key: str | None = "", **headers: str
    ) -> Reply:
        """Post JSON; a key of its own unless one is given, or None for none."""
        return await self.write("POST", path, body, key=key, **headers)

    async def write(
        self, method: str, path: str, body: object = None, *, key: str | None = "", **headers: str
    ) -> Reply:
        """The same by another method."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Idempotency-Key"] = key or str(uuid.uuid4())
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        return await self.send(method, path, body=content, headers=sent)

    async def account(self, balance: str = "1000.00", currency: str = "USD") -> str:
        """The id of a new account."""
        reply = await self.post(
            "/api/v1/accounts",
            {"user_id": "user", "initial_balance": balance, "currency": currency},
        )
        assert reply.status == 201, reply.body
        return reply.text("id")

    async def pay(self, source: str, amount: str = "50.00", **fields: object) -> Reply:
        """Post an external payment in dollars through Stripe, unless told otherwise."""
        key = fields.pop("key", "")
        assert isinstance(key, str)
        body = {
            "payment_type": "external_payment",
            "source_account_id": source,
            "amount": amount,
            "currency": "USD",
            "provider": "stripe",
            **fields,
        }
        return await self.post("/api/v1/payments", body, key=key)


@dataclass(kw_only=True)
class Options:
    """What a test wants to be different."""

    keys: bool = False
    limits: Mapping[str, Limit] = field(default_factory=dict)
    commits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    read_timeout_seconds: float = 15.0
    webhook_key: str = "a key of tests"
    webhook_networks: str = ""
    # Who asks every route there is is not kept for long by the one that goes on.
    feed: FeedLimits = field(default_factory=lambda: FeedLimits(lifetime_s=0.2))
    streams: Callable[[], StreamsReport] = lambda: StreamsReport(
        datetime.now(UTC), (), (), (), (), ()
    )
    trail: Callable[[], Mapping[tuple[str, str], Sequence[float | None]]] = dict


@dataclass(frozen=True)
class Ingress:
    """What runs, and what it runs on."""

    client: Client
    committer: GroupCommitter
    metrics: Metrics
    pool: asyncpg.Pool[asyncpg.Record]
    deps: Dependencies
    app: web.Application

    async def key(self, tenant: str, *scopes: str, **fields: datetime) -> str:
        """A new API key of a tenant."""
        secret = new_secret()
        key = ApiKey(
            id=secret.key_id,
            tenant_id=tenant,
            name="test",
            secret_sha256=secret.secret_sha256,
            scopes=frozenset(scopes or ALL_SCOPES),
            created_at=datetime.now(UTC),
            **fields,
        )
        async with self.pool.acquire() as connection:
            await insert_api_key(connection, key)
        return secret.text

    async def tenant(self, tenant: str, *scopes: str) -> Client:
        """A client with a new key of a tenant."""
        return self.client.with_token(await self.key(tenant, *scopes))


@asynccontextmanager
async def running(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress, options: Options
) -> AsyncIterator[Ingress]:
    """An ingress that serves while the context is open."""
    metrics = Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        committer = await stack.enter_async_context(
            GroupCommitter(pool, live(options.policy, REFERENCES, RULES), metrics, options.commits)
        )
        resources = Resources(
            reads=pool,
            lookups=pool,
            upkeep=pool,
            outbox=pool,
            committer=committer,
            redis=await stack.enter_async_context(redis.client(redis_address)),
            keys=options.keys,
            limits=options.limits,
            streams=options.streams,
            trail=options.trail,
            metrics=metrics,
            tracer=configure("test").tracer,
            providers=NAMES,
            read_timeout_seconds=options.read_timeout_seconds,
            keyring=Keyring.of(options.webhook_key),
            reach=Reach.of(options.webhook_networks),
            feed=options.feed,
        )
        deps = await opened(resources, stack)
        listen = Listen(
            host="127.0.0.1",
            port=0,
            read_timeout_seconds=options.read_timeout_seconds,
            write_timeout_seconds=15.0,
            idle_timeout_seconds=75.0,
            drain_seconds=5.0,
            connections_max=1000,
            tls=None,
        )
        application = app.build(deps)
        door = await stack.enter_async_context(serving(application, listen, application[OBSERVER]))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Ingress(
            client=Client(session, door.address),
            committer=committer,
            metrics=metrics,
            pool=pool,
            deps=deps,
            app=application,
        )
