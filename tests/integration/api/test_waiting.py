"""`Prefer: wait`: the end of a payment is answered, and whoever asks again gets the same bytes."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from process.addresses import RedisAddress
from tests.support.api.ingress import Options, running
from tests.support.api.stage import settle, settle_refund
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncpg
    import redis.asyncio

    from tests.support.api.ingress import Client, Ingress, Reply

NOTHING: Final[Mapping[str, str]] = {}
LONG: Final = {"Prefer": "wait=30"}
_ACCEPTED: Final = "SELECT id::text FROM payments WHERE idempotency_key = $1"


class Wish:
    """One payment to be made, asked for as often as a test likes under its one key."""

    def __init__(self, ingress: Ingress, account: str) -> None:
        self.ingress = ingress
        self.key = str(uuid.uuid4())
        self.body: dict[str, object] = {
            "payment_type": "external_payment",
            "source_account_id": account,
            "amount": 50,
            "currency": "USD",
            "provider": "stripe",
        }

    async def sent(
        self, headers: Mapping[str, str] = NOTHING, client: Client | None = None
    ) -> Reply:
        client = client or self.ingress.client
        return await client.post("/api/v1/payments", self.body, key=self.key, **headers)

    @asynccontextmanager
    async def waiting(self, *clients: Client) -> AsyncIterator[tuple[str, list[Reply]]]:
        """The payment while somebody waits for its end; afterwards their answers are there."""
        answers: list[Reply] = []
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self.sent(LONG, each)) for each in clients or (None,)]
            await eventually(self._is_accepted)
            yield await self.ingress.pool.fetchval(_ACCEPTED, self.key), answers
        answers += [each.result() for each in asked]

    async def _is_accepted(self) -> bool:
        return bool(await self.ingress.pool.fetchval(_ACCEPTED, self.key))


@pytest.fixture
async def wish(ingress: Ingress) -> Wish:
    return Wish(ingress, await ingress.client.account())


def said(reply: Reply) -> tuple[int, bytes, str | None]:
    """What must be the same in every answer to one key."""
    return reply.status, reply.body, reply.headers.get("Location")


def _under_way(ingress: Ingress) -> float:
    """How many requests it is at work on."""
    return ingress.metrics.registry.get_sample_value("payments_http_requests_in_flight") or 0.0


async def test_a_client_may_wait_for_the_end(wish: Wish) -> None:
    """`Prefer: wait` answers 200 as soon as the payment has ended."""
    async with wish.waiting() as (payment, answers):
        await settle(wish.ingress.committer, payment)
    (reply,) = answers
    assert (reply.status, reply.text("status")) == (200, "completed")
    assert reply.headers["Preference-Applied"] == "wait=30"
    assert reply.headers["Location"] == f"/api/v1/payments/{payment}"
    assert "Idempotent-Replayed" not in reply.headers


async def test_what_was_waited_for_is_the_answer_from_then_on(
    wish: Wish, redis_client: redis.asyncio.Redis
) -> None:
    """To who waits again and who does not, from Redis and Postgres, though the payment moved on."""
    async with wish.waiting() as (payment, answers):
        await settle(wish.ingress.committer, payment)
    (first,) = answers
    refund = await wish.ingress.client.post(f"/api/v1/payments/{payment}/refund", {})
    await settle_refund(wish.ingress.committer, refund.text("id"))
    for source in ("cache", "postgres"):
        if source == "postgres":
            await redis_client.flushall()
        for headers in (NOTHING, LONG):
            again = await wish.sent(headers)
            assert said(again) == said(first)
            assert again.headers["Idempotent-Replayed"] == "true"
            assert "Preference-Applied" not in again.headers


async def test_who_waited_in_vain_has_the_answer_too(
    wish: Wish, redis_client: redis.asyncio.Redis
) -> None:
    """After so many seconds it is 202, and it stays that when the payment ends after all."""
    started = perf_counter()
    first = await wish.sent({"Prefer": "wait=1"})
    assert (first.status, first.text("status")) == (202, "pending")
    assert perf_counter() - started > 0.9
    await settle(wish.ingress.committer, first.text("id"))
    for _ in range(2):
        assert said(await wish.sent(LONG)) == said(first)
        await redis_client.flushall()


@pytest.mark.parametrize("headers", [NOTHING, {"Prefer": "wait=0"}])
async def test_who_does_not_wait_decides_for_who_waits(
    wish: Wish, headers: Mapping[str, str]
) -> None:
    """Two requests with one key at once: what the first of them was given, the other is given."""
    async with wish.waiting() as (payment, answers):
        at_once = await wish.sent(headers)
        assert (at_once.status, at_once.text("status")) == (202, "pending")
        await settle(wish.ingress.committer, payment)
    assert {said(each) for each in (*answers, await wish.sent())} == {said(at_once)}


async def test_all_who_wait_get_one_answer(wish: Wish, pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Through two ingresses, whichever sees the end first."""
    async with running(pool, RedisAddress("127.0.0.1", 1), Options()) as other:
        clients = (wish.ingress.client, other.client, other.client)
        async with wish.waiting(*clients) as (payment, answers):
            await eventually(lambda: _under_way(other) == 2)
            await settle(wish.ingress.committer, payment)
        assert {reply.status for reply in answers} == {200}
        assert len({said(each) for each in (*answers, await wish.sent(client=other.client))}) == 1


@pytest.mark.parametrize("asked_again", [NOTHING, LONG])
async def test_without_a_database_to_settle_it_there_is_no_answer_yet(
    wish: Wish, pool: asyncpg.Pool[asyncpg.Record], asked_again: Mapping[str, str]
) -> None:
    """Nor one that another could follow: the first to ask once it is back decides for all."""
    async with wish.waiting() as (payment, answers):
        await pool.execute("ALTER TABLE idempotency_keys RENAME TO away")
        await pool.execute(
            "UPDATE payments SET status = 'failed', operation = NULL, due_at = NULL WHERE id = $1",
            UUID(payment),
        )
    await pool.execute("ALTER TABLE away RENAME TO idempotency_keys")
    (refused,) = answers
    assert (refused.status, refused.code) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert "Preference-Applied" not in refused.headers
    first = await wish.sent(asked_again)
    assert first.text("id") == payment
    assert {said(await wish.sent(each)) for each in (NOTHING, LONG)} == {said(first)}


async def test_what_ends_at_once_is_not_waited_for(ingress: Ingress) -> None:
    """A transfer is 200 for who wants to wait and 202 for who does not, under a key of its own."""
    client = ingress.client
    body = {
        "payment_type": "internal_transfer",
        "source_account_id": await client.account(),
        "destination_account_id": await client.account(),
        "amount": 5,
        "currency": "USD",
    }
    for headers, status in ((LONG, 200), (NOTHING, 202)):
        key = str(uuid.uuid4())
        first = await client.post("/api/v1/payments", body, key=key, **headers)
        assert (first.status, first.text("status")) == (status, "completed")
        for again in (NOTHING, LONG):
            assert said(await client.post("/api/v1/payments", body, key=key, **again)) == said(
                first
            )


@pytest.mark.parametrize(("first", "second"), [(NOTHING, LONG), (LONG, NOTHING)])
async def test_a_transfer_with_a_preference_is_the_transfer_without(
    ingress: Ingress, first: Mapping[str, str], second: Mapping[str, str]
) -> None:
    """It has ended when it is answered: 201, whoever would wait."""
    client, key = ingress.client, str(uuid.uuid4())
    body = {
        "source_account_id": await client.account(),
        "destination_account_id": await client.account(),
        "amount": 5,
        "currency": "USD",
    }
    made = await client.post("/api/v1/transfers", body, key=key, **first)
    assert made.status == 201
    assert said(await client.post("/api/v1/transfers", body, key=key, **second)) == said(made)


@pytest.mark.parametrize("action", ["refund", "capture", "cancel"])
@pytest.mark.parametrize(("first", "second"), [(NOTHING, LONG), (LONG, NOTHING)])
async def test_with_a_preference_or_without_a_key_has_one_answer(
    ingress: Ingress, action: str, first: Mapping[str, str], second: Mapping[str, str]
) -> None:
    """On the other routes too, whether they wait or not, and after the payment has moved on."""
    client = ingress.client
    method = "manual" if action == "capture" else "automatic"
    payment = (await client.pay(await client.account(), capture_method=method)).text("id")
    if action != "cancel":
        await settle(ingress.committer, payment)
    path, key = f"/api/v1/payments/{payment}/{action}", str(uuid.uuid4())
    answered = await client.post(path, {}, key=key, **first)
    if action == "capture":
        await settle(ingress.committer, payment, attempt=2)
    elif action == "refund":
        await settle_refund(ingress.committer, answered.text("id"))
    assert said(await client.post(path, {}, key=key, **second)) == said(answered)


async def _owes_a_void(ingress: Ingress) -> bool:
    return bool(
        await ingress.pool.fetchval("SELECT count(*) FROM payments WHERE operation = 'void'")
    )


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_a_cancel_waits_for_the_void(ingress: Ingress, key: str | None) -> None:
    """As long as it is owed and a client waits, and then says what has become of the payment."""
    client = ingress.client
    payment = (await client.pay(await client.account(), capture_method="manual")).text("id")
    await settle(ingress.committer, payment)
    path = f"/api/v1/payments/{payment}/cancel"
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(client.post(path, key=key))
        await eventually(lambda: _owes_a_void(ingress))
        await settle(ingress.committer, payment, attempt=2)
    reply = asked.result()
    assert (reply.status, reply.text("status")) == (200, "cancelled")
    assert "Preference-Applied" not in reply.headers
    if key is not None:
        assert said(await client.post(path, key=key)) == said(reply)


async def test_a_cancel_is_not_waited_for_by_who_will_not_wait(ingress: Ingress) -> None:
    """`wait=0`: it is said what the payment is now."""
    client = ingress.client
    payment = (await client.pay(await client.account(), capture_method="manual")).text("id")
    await settle(ingress.committer, payment)
    reply = await client.post(f"/api/v1/payments/{payment}/cancel", Prefer="wait=0")
    assert (reply.status, reply.text("status")) == (200, "authorized")
