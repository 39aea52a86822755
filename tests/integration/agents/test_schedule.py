"""The schedule on a real Postgres: what is due goes back on its topic, once, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from agents.schedule import Looks, Schedule
from payments import record
from payments.commands import (
    CapturePayment,
    ClaimPayment,
    DiscardDeadLetter,
    ExpireAuthorization,
    ParkMessage,
    WakePayment,
)
from payments.dead_letter import DeadLetterReason
from payments.decision import Claimed, RefusalCode, Refused
from payments.ids import dead_letter_id
from payments.progress import Policy
from process.addresses import DatabaseAddress
from providers.registry import NAMES
from store.pool import connect, long_reading
from store.write.context import live
from store.write.group_commit import GroupCommitter
from telemetry.tracing import Trace
from tests.support.agents.shop import PRICE
from tests.support.factories import SOURCE, TENANT
from tests.support.waiting import eventually, in_time
from verify.database import violations

if TYPE_CHECKING:
    from payments.payment import Payment
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop

_WEEK_S: Final = 604_800.0
_MORE_THAN_A_PAGE: Final = 520
_TTL: Final = timedelta(seconds=Policy().authorization_ttl_s)


@pytest.fixture
def schedule(idle_shop: Shop, committer: GroupCommitter, metrics: Metrics) -> Schedule:
    """One that looks at the test's database by the wall clock."""
    return Schedule(
        idle_shop.pool,
        idle_shop.pool,
        committer,
        metrics,
        lambda: datetime.now(UTC),
        _WEEK_S,
        Policy().patience_s,
        NAMES,
        Looks(share=inf),
    )


async def all_fall_due(shop: Shop) -> None:
    await shop.pool.execute("UPDATE payments SET due_at = now() WHERE due_at IS NOT NULL")


async def requests(shop: Shop) -> int:
    """Work messages for the charge stage that are on record."""
    query = "SELECT count(*) FROM outbox WHERE type = 'charge.requested'"
    return int(await shop.pool.fetchval(query))


async def test_what_is_not_due_is_let_be(idle_shop: Shop, schedule: Schedule) -> None:
    """A payment that was just accepted has its message already."""
    await idle_shop.bought(await idle_shop.customer())
    await schedule.wake_due()
    assert await requests(idle_shop) == 1


async def test_a_claim_whose_worker_fell_silent_is_asked_after(
    idle_shop: Shop, schedule: Schedule
) -> None:
    """Its lease ran out: nobody knows the outcome, so the next attempt inquires first."""
    payment = await idle_shop.bought(await idle_shop.customer())
    await idle_shop.did(ClaimPayment(payment.id, 1, "silent"))
    await all_fall_due(idle_shop)
    await schedule.wake_due()
    assert await idle_shop.status(payment) == "unknown"
    assert await idle_shop.attempts(payment) == [(1, False, "lease_expired")]
    claim = await idle_shop.did(ClaimPayment(payment.id, 2, "successor"))
    assert isinstance(claim, Claimed)
    assert claim.attempt.inquiry
    assert claim.attempt.provider_key == f"charge-{payment.id}"


async def test_what_is_woken_goes_on_in_its_trace(idle_shop: Shop, schedule: Schedule) -> None:
    """The trace of the request is that of the retry, too, hours later and by another process."""
    customer = await idle_shop.customer()
    woken, again = [await idle_shop.bought(customer) for _ in range(2)]
    traces = {
        woken.id: Trace(f"00-{1:032x}-{2:016x}-01", "congo=1"),
        again.id: Trace(f"00-{3:032x}-{4:016x}-01"),
    }
    for payment_id, trace in traces.items():
        await idle_shop.pool.execute(
            "UPDATE outbox SET traceparent = $2, tracestate = $3 WHERE aggregateid = $1",
            str(payment_id),
            *trace,
        )
    await all_fall_due(idle_shop)
    await schedule.wake_due()
    await all_fall_due(idle_shop)
    await schedule.sent_again([WakePayment(again.id)])
    rows = await idle_shop.pool.fetch(
        "SELECT aggregateid, traceparent, tracestate FROM outbox WHERE type = 'charge.requested'"
    )
    assert len(rows) == 2 + 2 + 1
    said = {
        (UUID(row["aggregateid"]), Trace(row["traceparent"], row["tracestate"])) for row in rows
    }
    assert said == {*traces.items()}


async def test_a_payment_that_somebody_has_locked_keeps_nobody_else_asleep(
    idle_shop: Shop, schedule: Schedule, brisk_committer: GroupCommitter
) -> None:
    """It stays due, and is woken when it is free."""
    schedule = replace(schedule, committer=brisk_committer)
    customer = await idle_shop.customer()
    locked, *others = [await idle_shop.bought(customer) for _ in range(4)]
    for each in (locked, *others):
        await idle_shop.did(ClaimPayment(each.id, 1, "silent"))
    await all_fall_due(idle_shop)
    async with idle_shop.locked(locked):
        async with in_time(30):
            await schedule.wake_due()
        assert {await idle_shop.status(each) for each in others} == {"unknown"}
        assert await idle_shop.status(locked) == "processing"
    await schedule.wake_due()
    assert await idle_shop.status(locked) == "unknown"


async def test_a_page_of_what_is_locked_keeps_nobody_asleep_who_is_due_after_it(
    idle_shop: Shop, schedule: Schedule, brisk_committer: GroupCommitter
) -> None:
    """Two pages of them: all others are woken by one look; and each of them once it is free."""
    schedule = replace(schedule, committer=brisk_committer, page_max=2)
    customer = await idle_shop.customer()
    payments = [await idle_shop.bought(customer) for _ in range(7)]
    for number, each in enumerate(payments):
        await idle_shop.did(ClaimPayment(each.id, 1, "silent"))
        due = "UPDATE payments SET due_at = now() + $2 * interval '1 ms' WHERE id = $1"
        await idle_shop.pool.execute(due, each.id, number - 1_000)
    locked, others = payments[:4], payments[4:]
    async with idle_shop.locked(*locked), in_time(30):
        await schedule.wake_due()
        assert {await idle_shop.status(each) for each in others} == {"unknown"}
        assert {await idle_shop.status(each) for each in locked} == {"processing"}
    for _ in range(2):
        await schedule.wake_due()
    assert {await idle_shop.status(each) for each in locked} == {"unknown"}


async def test_told_to_stop_it_wakes_no_further_page(idle_shop: Shop, schedule: Schedule) -> None:
    """What is left is there for the next one."""
    customer = await idle_shop.customer()
    for _ in range(5):
        await idle_shop.bought(customer)
    await all_fall_due(idle_shop)
    stopping = asyncio.Event()
    stopping.set()
    await schedule.wake_due(stopping)
    assert await requests(idle_shop) == 5
    await schedule.wake_due(asyncio.Event())
    assert await requests(idle_shop) == 10


async def its_week_is_over(shop: Shop, payment: Payment) -> None:
    await shop.pool.execute(
        "UPDATE payments SET due_at = now(), authorization_expires_at = now() WHERE id = $1",
        payment.id,
    )


async def held(shop: Shop) -> int:
    return int(await shop.pool.fetchval("SELECT sum(debits_pending) FROM accounts"))


async def test_an_authorization_in_its_time_is_let_be(
    idle_shop: Shop, schedule: Schedule, database: DatabaseAddress
) -> None:
    """It is due in a week, which is rest, not neglect."""
    payment = await idle_shop.authorized()
    await schedule.wake_due()
    assert await idle_shop.status(payment) == "authorized"
    async with long_reading(database, application_name="payments-verify") as connection:
        assert await violations(connection, "verify_in_flight") == ()
        assert await violations(connection, "verify_unowned") == ()
        await its_week_is_over(idle_shop, payment)
        assert len(await violations(connection, "verify_in_flight")) == 1


async def test_what_nobody_captured_is_cancelled_and_its_provider_told(
    idle_shop: Shop, schedule: Schedule
) -> None:
    """The money is held until it has let go, which the charge stage is asked for."""
    payment = await idle_shop.authorized()
    assert await held(idle_shop) == PRICE.amount_minor
    await its_week_is_over(idle_shop, payment)
    await schedule.wake_due()
    row = await idle_shop.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment.id)
    assert row is not None
    assert (row["status"], row["operation"]) == ("authorized", "void")
    assert row["last_error_code"] == "authorization_expired"
    assert await held(idle_shop) == PRICE.amount_minor
    assert await requests(idle_shop) == 2
    capture = await idle_shop.did(CapturePayment(TENANT, payment.id, None))
    assert isinstance(capture, Refused)
    assert capture.code is RefusalCode.PAYMENT_NOT_CAPTURABLE


async def test_an_expiry_moves_no_money_and_waits_for_no_account(
    idle_shop: Shop, schedule: Schedule, brisk_committer: GroupCommitter
) -> None:
    """Its provider is told to let go, however long somebody works on the account."""
    schedule = replace(schedule, committer=brisk_committer)
    payment = await idle_shop.authorized()
    await its_week_is_over(idle_shop, payment)
    locked = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"
    async with idle_shop.pool.acquire() as connection, connection.transaction():
        await connection.execute(locked, payment.source_account_id)
        async with in_time(30):
            await schedule.wake_due()
    owed = "SELECT operation FROM payments WHERE id = $1"
    assert await idle_shop.pool.fetchval(owed, payment.id) == "void"


async def test_a_capture_that_was_asked_for_is_not_expired(
    idle_shop: Shop, schedule: Schedule
) -> None:
    """Its time is over while the provider is about to be asked: it is asked."""
    payment = await idle_shop.authorized()
    await idle_shop.did(CapturePayment(TENANT, payment.id, None))
    await its_week_is_over(idle_shop, payment)
    await schedule.wake_due()
    assert await idle_shop.status(payment) == "authorized"
    assert isinstance(await idle_shop.did(ClaimPayment(payment.id, 2, "w")), Claimed)


async def test_an_expiry_and_a_capture_that_race_have_one_winner(
    idle_shop: Shop, metrics: Metrics
) -> None:
    """In transactions of their own, over and over: it is captured, or it is given back."""
    today = live(Policy())
    async with GroupCommitter(
        idle_shop.pool, lambda: record.replace(today(), now=datetime.now(UTC) + _TTL), metrics
    ) as committer:
        later = replace(idle_shop, committer=committer)
        for _ in range(10):
            payment = await idle_shop.authorized()
            captured, *expired = await asyncio.gather(
                idle_shop.did(CapturePayment(TENANT, payment.id, None)),
                *(later.did(ExpireAuthorization(payment.id)) for _ in "12"),
            )
            outcomes = [captured, *expired]
            assert sum(not isinstance(each, Refused) for each in outcomes) == 1
            row = await idle_shop.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment.id)
            assert row is not None
            is_captured = not isinstance(captured, Refused)
            ends = ("authorized", "capture" if is_captured else "void")
            assert (row["status"], row["operation"]) == ends


async def test_who_waits_behind_a_dead_letter_is_let_be_until_that_is_resolved(
    idle_shop: Shop, schedule: Schedule, database: DatabaseAddress
) -> None:
    """Another message would only join the queue: it rests there, and is not overdue."""
    payment = await idle_shop.bought(await idle_shop.customer())
    source = record.replace(SOURCE, key=str(payment.id).encode())
    letter_id = dead_letter_id("charge", "1")
    reason = DeadLetterReason.UNDECODABLE
    await idle_shop.did(ParkMessage(letter_id, TENANT, "charge", reason, "no", source, payment.id))
    await idle_shop.pool.execute("UPDATE payments SET due_at = now() - interval '1 hour'")
    await schedule.wake_due()
    assert not await was_woken(idle_shop, payment.id)
    async with long_reading(database, application_name="payments-verify") as connection:
        assert await violations(connection, "verify_forgotten", forgotten_after_s=60.0) == ()
        assert await violations(connection, "verify_in_flight") == ()
        assert await violations(connection, "verify_queues") == ()
        await idle_shop.did(DiscardDeadLetter(letter_id, "ada", "noise"))
        assert len(await violations(connection, "verify_forgotten", forgotten_after_s=60.0)) == 1
    await schedule.wake_due()
    assert await was_woken(idle_shop, payment.id)


async def test_two_schedules_wake_a_payment_once(idle_shop: Shop, schedule: Schedule) -> None:
    """Whoever comes second is refused, and changes nothing."""
    twin = replace(schedule)
    await idle_shop.bought_many(await idle_shop.customer(), 20)
    await all_fall_due(idle_shop)
    await asyncio.gather(schedule.wake_due(), twin.wake_due())
    assert await requests(idle_shop) == 20 + 20


async def test_more_than_a_page_is_woken_at_once(idle_shop: Shop, schedule: Schedule) -> None:
    """After an outage everything is due: page after page, in one look."""
    await idle_shop.bought_many(await idle_shop.customer(), _MORE_THAN_A_PAGE)
    await all_fall_due(idle_shop)
    await schedule.wake_due()
    assert await requests(idle_shop) == 2 * _MORE_THAN_A_PAGE


async def test_one_that_cannot_be_woken_keeps_nobody_else_asleep(
    idle_shop: Shop, schedule: Schedule
) -> None:
    """A bug at the payment that is due longest: the others are woken, it is said aloud."""
    customer = await idle_shop.customer()
    broken = await idle_shop.bought(customer)
    others = [await idle_shop.bought(customer) for _ in range(5)]
    await all_fall_due(idle_shop)
    with capture_logs() as said:
        async with idle_shop.unrecordable(broken):
            await schedule.wake_due()
    assert "a wake failed" in {each["event"] for each in said}
    assert all([await was_woken(idle_shop, payment.id) for payment in others])
    assert not await was_woken(idle_shop, broken.id)
    await schedule.wake_due()
    assert await was_woken(idle_shop, broken.id)


async def test_it_outlives_its_connections_and_stops_when_told(
    idle_shop: Shop, schedule: Schedule, database: DatabaseAddress
) -> None:
    """Postgres ends every session of the schedule: it looks again; stopped, it returns."""
    stopping = asyncio.Event()
    payment = await idle_shop.bought(await idle_shop.customer())
    running = asyncio.create_task(schedule.run(stopping))
    async with await connect(database, application_name="operator", size=1) as operator:
        unharmed = replace(idle_shop, pool=operator)
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await all_fall_due(unharmed)
        await eventually(lambda: was_woken(unharmed, payment.id))
    stopping.set()
    await running


async def was_woken(shop: Shop, payment_id: object) -> bool:
    query = "SELECT count(*) FROM payment_events WHERE payment_id = $1 AND type = 'payment.woken'"
    return bool(await shop.pool.fetchval(query, payment_id))
