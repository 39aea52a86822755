"""A whole ingress on a free port, on the test's own database and Valkey, and a client of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api import app
from api.access.authentication import ApiKeys, Authenticator, Open, new_secret
from api.access.rate_limits import Limit, RateLimiter
from api.access.scopes import Scope
from api.handling.dependencies import Dependencies
from api.handling.readiness import Readiness
from api.handling.reads import reading
from api.handling.watch import PaymentWatch
from api.http.server import Listen, serving
from api.idempotency.replay_cache import ReplayCache
from lag.report import StreamsReport
from payments.progress import Policy
from providers.registry import NAMES
from store.batched_redis import BatchedRedis
from store.migrations import read_migrations
from store.read.api_keys import ApiKey, api_key_by_id
from store.read.payments import settled_payments
from store.write.api_keys import insert_api_key
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits
from telemetry.metrics import Metrics
from telemetry.tracing import configure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    import asyncpg

    from payments.payment import Payment
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
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Idempotency-Key"] = key or str(uuid.uuid4())
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        return await self.send("POST", path, body=content, headers=sent)

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
        redis = await stack.enter_async_context(_redis(redis_address))
        batched = await stack.enter_async_context(BatchedRedis(redis).running())

        async def settled(payment_ids: Iterable[UUID]) -> list[Payment]:
            async with pool.acquire() as connection:
                return await settled_payments(connection, payment_ids)

        watch = await stack.enter_async_context(PaymentWatch(settled).running())
        committer = await stack.enter_async_context(
            GroupCommitter(pool, live(options.policy), metrics, options.commits)
        )
        readiness = Readiness(pool, redis, read_migrations())
        deps = Dependencies(
            pool=pool,
            committer=committer,
            authenticator=_authenticator(pool, options),
            rate_limiter=RateLimiter(batched, options.limits, metrics),
            replay_cache=ReplayCache(batched, metrics),
            watch=watch,
            readiness=await stack.enter_async_context(readiness.running()),
            streams=lambda: StreamsReport(datetime.now(UTC), (), (), (), (), ()),
            metrics=metrics,
            tracer=configure("test").tracer,
            now=lambda: datetime.now(UTC),
            providers=NAMES,
            new_request_id=lambda: uuid.uuid4().hex,
            read_timeout_seconds=options.read_timeout_seconds,
        )
        listen = Listen(
            host="127.0.0.1",
            port=0,
            read_timeout_seconds=options.read_timeout_seconds,
            write_timeout_seconds=15.0,
            shutdown_timeout_seconds=5.0,
        )
        application = app.build(deps)
        address = await stack.enter_async_context(serving(application, listen))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Ingress(
            client=Client(session, address),
            committer=committer,
            metrics=metrics,
            pool=pool,
            deps=deps,
            app=application,
        )


def _redis(address: RedisAddress) -> Redis:
    return Redis(
        host=address.host,
        port=address.port,
        socket_timeout=0.25,
        socket_connect_timeout=0.25,
        retry=Retry(NoBackoff(), 0),
    )


def _authenticator(pool: asyncpg.Pool[asyncpg.Record], options: Options) -> Authenticator:
    if not options.keys:
        return Open()

    async def find(key_id: str) -> ApiKey | None:
        async with reading(pool) as connection:
            return await api_key_by_id(connection, key_id)

    return ApiKeys(find, lambda: datetime.now(UTC), time.monotonic)
