"""The feed of events by pages: everything, once, in order, and nobody else's."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from api.feed.positions import Place, mark_of
from payments.account import Account
from payments.commands import DiscardDeadLetter, ParkMessage
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.ids import dead_letter_id
from payments.payment import Payment
from payments.progress import Policy
from store.housekeeping import keep_house
from store.partitions import OUTBOX, drop_outbox_day, make_partition
from store.read.feed import look
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.api.feed import end_of_feed, late, page, read_all, refused
from tests.support.api.ingress import Client, Ingress, Options, running
from tests.support.api.stage import settle, settling
from tests.support.factories import TENANT, open_account, pay
from topics.contracts.webhooks import body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date

    import asyncpg
    from redis.asyncio import Redis

    from process.addresses import RedisAddress

_WEEK_S: Final = 604_800.0


async def test_an_event_is_told_as_its_webhook_is(ingress: Ingress) -> None:
    """Byte for byte, and where it stands beside it; work and accounts are nobody's business."""
    payment = (await ingress.client.pay(await ingress.client.account())).text("id")
    await settle(ingress.committer, payment)
    rows = await ingress.pool.fetch(
        "SELECT * FROM outbox WHERE aggregatetype = 'payments.events' ORDER BY position"
    )
    reply = await ingress.client.get("/api/v1/events")
    told = (await page(ingress.client)).data
    for row, event in zip(rows, told, strict=True):
        said = body_of(row["id"], row["type"], row["occurred_at"], row["payload"].encode())
        assert said[:-1] in reply.body
        assert (event["payment_id"], event["sequence"]) == (payment, row["sequence"])
    assert [each["type"] for each in told] == ["payment.created", "payment.completed"]
    assert [each["sequence"] for each in told] == [1, 2]
    assert reply.headers["Cache-Control"] == "no-store"


async def test_a_client_goes_on_from_its_last_cursor(ingress: Ingress) -> None:
    """Page by page, and later on with what is new; an event's own cursor does as well."""
    client = ingress.client
    account = await client.account()
    ids = [(await client.pay(account)).text("id") for _ in range(5)]
    first = await page(client, limit=2)
    assert [each["payment_id"] for each in first.data] == ids[:2]
    assert first.has_more is True
    assert [each["payment_id"] for each in await read_all(client, first.next_cursor)] == ids[2:]
    of_event = str(first.data[0]["cursor"])
    assert [each["payment_id"] for each in await read_all(client, of_event)] == ids[1:]
    cursor = await end_of_feed(client)
    assert await read_all(client, cursor) == []
    new = (await client.pay(account)).text("id")
    assert [each["payment_id"] for each in await read_all(client, cursor)] == [new]


async def test_nobody_skips_what_commits_late(ingress: Ingress) -> None:
    """What was written before and is committed after: nothing behind it is told until then."""
    client = ingress.client
    account = await client.account()
    await client.pay(account)
    cursor = await end_of_feed(client)
    async with late(ingress.pool):
        paid = (await client.pay(account)).text("id")
        assert await read_all(client, cursor) == []
        behind = await end_of_feed(client)
    for since in (cursor, behind):
        review, created = await read_all(client, since)
        assert (review["type"], created["payment_id"]) == ("payment.review", paid)


async def test_what_was_never_committed_holds_up_nobody(ingress: Ingress) -> None:
    """A transaction that gave up leaves a hole in the positions, and no more."""
    client = ingress.client
    account = await client.account()
    await client.pay(account)
    cursor = await end_of_feed(client)
    async with late(ingress.pool) as writing:
        paid = (await client.pay(account)).text("id")
        await writing.execute("ROLLBACK; BEGIN")
    assert [each["payment_id"] for each in await read_all(client, cursor)] == [paid]


async def test_writers_of_other_tables_hold_up_nobody(ingress: Ingress) -> None:
    """Whoever writes for long, but no messages: an operator, a migration, another database."""
    client = ingress.client
    account = await client.account()
    cursor = await end_of_feed(client)
    async with ingress.pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TABLE of_an_operator (id int)")
        paid = (await client.pay(account)).text("id")
        assert [each["payment_id"] for each in await read_all(client, cursor)] == [paid]


async def test_readers_beside_writers_miss_nothing(ingress: Ingress) -> None:
    """Readers that ask all the time, while many write and commit in any order."""
    client = ingress.client
    accounts = [await client.account("10000.00") for _ in range(4)]
    await client.pay(accounts[0])
    done = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, settling(ingress.committer, ingress.pool):
        readers = [tasks.create_task(_read_until(done, client, each)) for each in (7, 100)]
        for seed in range(2):
            tasks.create_task(_commit_late(done, ingress.pool, random.Random(seed)))
        for _ in range(10):
            await asyncio.gather(*(client.pay(each, "0.50") for each in accounts for _ in range(3)))
        done.set()
    rows = await ingress.pool.fetch(
        "SELECT id FROM outbox WHERE aggregatetype = 'payments.events' ORDER BY position"
    )
    assert len(rows) > 120
    for reader in readers:
        seen = reader.result()
        assert seen == [str(row["id"]) for row in rows][: len(seen)]
        assert len(seen) > 120
    numbers = defaultdict(list)
    for event in await read_all(client, limit=100):
        if event["type"] != "payment.review":
            numbers[event["payment_id"]].append(event["sequence"])
    assert all(each == list(range(1, len(each) + 1)) for each in numbers.values())


async def test_filters_apply_together(ingress: Ingress) -> None:
    """By type, by payment, and by either of its accounts."""
    client = ingress.client
    payer, payee = await client.account(), await client.account()
    external = (await client.pay(payer)).text("id")
    await settle(ingress.committer, external)
    body = {
        "source_account_id": payer,
        "destination_account_id": payee,
        "amount": 1,
        "currency": "USD",
    }
    moved = (await client.post("/api/v1/transfers", body)).text("id")
    wanted = {
        (("payment_id", external),): [(external, 1), (external, 2)],
        (("types", "payment.completed"),): [(external, 2)],
        (("types", "payment.completed,transfer.completed"),): [(external, 2), (moved, 1)],
        (("account_id", payee),): [(moved, 1)],
        (("account_id", payer),): [(external, 1), (external, 2), (moved, 1)],
        (("account_id", payer), ("payment_id", external), ("types", "payment.created")): [
            (external, 1)
        ],
        (("account_id", str(UUID(int=0))),): [],
    }
    for asked, events in wanted.items():
        found = await page(client, **dict(asked))
        assert [(each["payment_id"], each["sequence"]) for each in found.data] == events
        assert found.has_more is False


async def test_a_filter_that_nothing_passes_gives_up_and_says_how_far(ingress: Ingress) -> None:
    """A page has nothing and a next one; the last event is not missed."""
    client = ingress.client
    await client.pay(await client.account())
    await ingress.pool.execute(
        "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, tenant_id, sequence,"
        " occurred_at, recorded_at)"
        " SELECT gen_random_uuid(), aggregatetype, aggregateid, 'payment.unknown', payload,"
        " tenant_id, sequence, occurred_at, recorded_at"
        " FROM outbox CROSS JOIN generate_series(1, 2000)"
        " WHERE aggregatetype = 'payments.events'"
    )
    async with late(ingress.pool, "payment.review"):
        pass
    first = await page(client, types="payment.review")
    assert (first.data, first.has_more) == ([], True)
    second = await page(client, types="payment.review", cursor=first.next_cursor)
    assert ([each["type"] for each in second.data], second.has_more) == (
        ["payment.review"],
        False,
    )


async def test_a_tenant_has_its_own_feed(guarded: Ingress) -> None:
    """Another's events are not in it, and another's cursor is none."""
    ours, theirs = await guarded.tenant("acme"), await guarded.tenant("other")
    for client in (ours, theirs):
        await client.pay(await client.account())
    mine, other = await read_all(ours), await read_all(theirs)
    assert len(mine) == len(other) == 1
    assert mine[0]["payment_id"] != other[0]["payment_id"]
    assert await read_all(theirs, payment_id=mine[0]["payment_id"]) == []
    reply = await theirs.get(f"/api/v1/events?cursor={mine[0]['cursor']}")
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_a_cursor_whose_events_are_gone_is_refused(ingress: Ingress) -> None:
    """410 where something may be missing, and not before; beginning anew gives all that is kept."""
    client = ingress.client
    account = await client.account()
    first = (await client.pay(account)).text("id")
    kept_from = await end_of_feed(client)
    (early,) = await read_all(client)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    await _move_to(ingress.pool, yesterday)
    await drop_outbox_day(ingress.pool, OUTBOX.called(yesterday), datetime.now(UTC))
    second = (await client.pay(account)).text("id")
    assert [each["payment_id"] for each in await read_all(client, kept_from)] == [second]
    assert [each["payment_id"] for each in await read_all(client)] == [second]
    begun = Place(await _mark(ingress.pool), 0).token("default")
    for path in ("/api/v1/events", "/api/v1/events/stream"):
        for gone in (begun, _before(early["cursor"], await _mark(ingress.pool))):
            reply = await client.get(f"{path}?cursor={gone}")
            assert (reply.status, reply.code) == (410, "cursor_expired"), first
            assert reply.json["retryable"] is False


async def test_a_letter_that_moves_up_after_days_takes_nobody_s_cursor(ingress: Ingress) -> None:
    """It is said now, and lies among what is said now; its own day is gone with what it had."""
    async with _nine_days_behind(ingress) as behind:
        payment = await _paid(behind)
        for offset, name in enumerate("ab"):
            await behind.submit(Submission(_poison(payment, offset, name)))
    then, now = (datetime.now(UTC) - timedelta(days=days) for days in (9, 0))
    await keep_house(ingress.pool, now, _WEEK_S)
    paid = (await ingress.client.pay(await ingress.client.account())).text("id")
    (event,) = await read_all(ingress.client)
    discard = DiscardDeadLetter(dead_letter_id("charge", "a"), "ada", "noise")
    await ingress.committer.submit(Submission(discard))
    await keep_house(ingress.pool, now, _WEEK_S)
    assert await ingress.pool.fetchval("SELECT to_regclass($1)", OUTBOX.called(then.date())) is None
    said = "SELECT count(*) FROM outbox WHERE type = 'dead_letter.parked'"
    assert await ingress.pool.fetchval(said) == 1
    assert await read_all(ingress.client, str(event["cursor"])) == []
    assert [each["payment_id"] for each in await read_all(ingress.client)] == [paid]


async def test_a_clock_that_is_days_behind_takes_nobody_s_cursor(ingress: Ingress) -> None:
    """What it dates is not dropped with the day it names, until that has been kept as well."""
    client = ingress.client
    paid = (await client.pay(await client.account())).text("id")
    cursor = await end_of_feed(client)
    async with _nine_days_behind(ingress) as behind:
        other = await _paid(behind)
    now = datetime.now(UTC)
    await keep_house(ingress.pool, now, _WEEK_S)
    assert [each["payment_id"] for each in await read_all(client, cursor)] == [str(other.id)]
    assert [each["payment_id"] for each in await read_all(client)] == [paid, str(other.id)]
    await keep_house(ingress.pool, now + timedelta(days=10), _WEEK_S)
    assert await read_all(client) == []


async def test_a_cursor_of_another_history_is_refused(ingress: Ingress) -> None:
    """A database that was restored draws the same positions again, for other events."""
    await ingress.client.pay(await ingress.client.account())
    mark = await _mark(ingress.pool)
    for place in (Place(b"none", 1), Place(mark, 1 << 40), Place(mark, (1 << 63) - 1)):
        reply = await ingress.client.get(f"/api/v1/events?cursor={place.token('default')}")
        assert (reply.status, reply.code) == (410, "cursor_expired")


async def test_what_was_never_a_position_is_refused(ingress: Ingress) -> None:
    """By name, whatever was sent for one."""
    mark = await _mark(ingress.pool)
    good = Place(mark, 1).token("default")
    hostile = (
        "", "x", "x" * 22, "x" * 5000, "%00" * 22, "A" * 21 + "=", good[:-1], good + "A",
        good.swapcase(), Place(mark, 1 << 63).token("default"), "%D9%A1" * 22, good + "%0A",
    )  # fmt: skip
    for text in hostile:
        for name in ("cursor", "after_position"):
            reply = await ingress.client.get(f"/api/v1/events?{name}={text}")
            assert refused(reply) == (422, "invalid_request", name), text


async def test_a_write_says_where_the_feed_tells_of_it(ingress: Ingress) -> None:
    """Whoever waits for that position finds it there, and what happens to it follows behind."""
    client = ingress.client
    account = await client.account()
    position = paid = ""
    for _ in range(10):
        reply = await client.pay(account)
        position, paid = reply.headers["Stream-Position"], reply.text("id")
        told = await page(client, after_position=position, payment_id=paid)
        assert [each["type"] for each in told.data] == ["payment.created"]
    await settle(ingress.committer, paid)
    after = await read_all(client, position)
    assert [each["type"] for each in after] == ["payment.completed"]


async def test_a_position_that_is_held_up_is_waited_for_and_then_503(ingress: Ingress) -> None:
    """Somebody writes before it for long: to come again is right, and it is not skipped."""
    client = ingress.client
    account = await client.account()
    await client.pay(account)
    async with late(ingress.pool):
        position = (await client.pay(account)).headers["Stream-Position"]
        reply = await client.get(f"/api/v1/events?after_position={position}")
        assert (reply.status, reply.code) == (503, "feed_behind")
        assert (reply.headers["Retry-After"], reply.json["retryable"]) == ("1", True)
    assert len((await page(client, after_position=position)).data) == 3


async def test_a_replay_says_the_same_position(ingress: Ingress, redis_client: Redis) -> None:
    """From Redis, from Postgres and within one batch: it belongs to the answer under the key."""
    client = ingress.client
    account = await client.account()
    replies = await asyncio.gather(*(client.pay(account, key="k") for _ in range(8)))
    replies.append(await client.pay(account, key="k"))
    await redis_client.flushall()
    replies.append(await client.pay(account, key="k"))
    assert {each.status for each in replies} == {202}
    assert len({(each.body, each.headers["Stream-Position"]) for each in replies}) == 1


async def test_a_payment_that_is_waited_for_says_where_its_end_is(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """`Prefer: wait` answers with the end, and its position covers the end, again as before."""
    async with running(pool, redis_address, Options()) as ingress:
        client = ingress.client
        account = await client.account()
        body = {
            "payment_type": "external_payment",
            "source_account_id": account,
            "amount": 1,
            "currency": "USD",
            "provider": "stripe",
        }
        async with settling(ingress.committer, pool):
            reply = await client.post("/api/v1/payments", body, key="k", Prefer="wait=10")
        assert (reply.status, reply.text("status")) == (200, "completed")
        position = reply.headers["Stream-Position"]
        told = await page(client, after_position=position, payment_id=reply.text("id"))
        assert [each["sequence"] for each in told.data] == [1, 2]
        again = await client.post("/api/v1/payments", body, key="k")
        assert again.headers["Stream-Position"] == position


async def test_what_tells_nobody_anything_has_no_position(ingress: Ingress) -> None:
    """A refusal, and a read."""
    account = await ingress.client.account()
    refused = await ingress.client.pay(account, "99999.00")
    read = await ingress.client.get("/api/v1/payments")
    assert refused.status == 422
    assert "Stream-Position" not in refused.headers
    assert "Stream-Position" not in read.headers


async def _commit_late(
    done: asyncio.Event, pool: asyncpg.Pool[asyncpg.Record], chance: random.Random
) -> None:
    while not done.is_set():
        async with late(pool) as writing:
            await writing.execute("SELECT pg_sleep($1)", chance.random() * 0.03)


async def _read_until(done: asyncio.Event, client: Client, limit: int) -> list[str]:
    """The ids of all events, asked for again and again until all was written, and once more."""
    seen: list[str] = []
    cursor, is_last = None, False
    while not is_last:
        is_last = done.is_set()
        told = await read_all(client, cursor, limit=limit)
        seen += [str(each["id"]) for each in told]
        cursor = str(told[-1]["cursor"]) if told else cursor
    return seen


@asynccontextmanager
async def _nine_days_behind(ingress: Ingress) -> AsyncIterator[GroupCommitter]:
    """A host with such a clock, on the same database."""
    ago_ns = int(timedelta(days=9).total_seconds()) * 1_000_000_000
    context = live(Policy(), clock_ns=lambda: time.time_ns() - ago_ns)
    async with GroupCommitter(ingress.pool, context, ingress.metrics) as committer:
        yield committer


async def _paid(committer: GroupCommitter) -> Payment:
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    return payment


def _poison(payment: Payment, offset: int, name: str) -> ParkMessage:
    """A message of the payment that no stage can process."""
    source = SourceMessage("payments.charges", 0, offset, b"key", b"{}")
    letter_id, reason = dead_letter_id("charge", name), DeadLetterReason.HANDLER_ERROR
    return ParkMessage(letter_id, TENANT, "charge", reason, "boom", source, payment.id)


async def _mark(pool: asyncpg.Pool[asyncpg.Record]) -> bytes:
    async with pool.acquire() as connection:
        return mark_of((await look(connection)).history)


def _before(cursor: object, mark: bytes) -> str:
    """The cursor behind which the event is that has this one."""
    position = next(each for each in range(1 << 20) if Place(mark, each).token("default") == cursor)
    return Place(mark, position - 1).token("default")


async def _move_to(pool: asyncpg.Pool[asyncpg.Record], day: date) -> None:
    """What is in the outbox was recorded that day."""
    await make_partition(pool, OUTBOX, day)
    await pool.execute("UPDATE outbox SET recorded_at = $1::date + interval '1 hour'", day)
