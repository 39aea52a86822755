"""What is overdue is sent again little by little: an outage makes no storm, and strands nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Final

import pytest

from agents.resending import Resending
from agents.schedule import Looks, Schedule
from payments import record
from payments.commands import (
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    RefundPayment,
    SettlePayment,
)
from payments.decision import Claimed, Refused
from payments.outcome import Succeeded
from payments.payment import Provider
from payments.progress import Policy
from payments.refund import Refund
from providers.registry import NAMES
from store.write.context import live
from store.write.group_commit import GroupCommitter
from tests.support.factories import SOURCE, TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from payments.payment import Payment
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop

STRIPE: Final = Provider("stripe")
PAYPAL: Final = Provider("paypal")
PATIENCE: Final = timedelta(seconds=Policy().patience_s)
AT_ONCE: Final = 5


@dataclass(slots=True)
class Desk:
    """A shop and a schedule whose day is the test's to move on."""

    shop: Shop
    schedule: Schedule
    resending: Resending
    now: datetime

    async def looks(self) -> None:
        """The schedule's looks, once each."""
        await self.schedule.wake_due()
        await self.resending.look(self.now)

    async def sent(self) -> list[UUID]:
        """What was sent again, in this order."""
        rows = await self.shop.pool.fetch(
            "SELECT payment_id FROM payment_events WHERE type = 'payment.woken'"
            " ORDER BY occurred_at, id"
        )
        return [row["payment_id"] for row in rows]

    async def refunds_sent(self) -> int:
        """Messages to the refund stage, the first ones too."""
        query = "SELECT count(*) FROM outbox WHERE type = 'refund.requested'"
        return int(await self.shop.pool.fetchval(query))

    async def takes(self, payment: Payment) -> Claimed | Refused:
        """The stage finds the payment's first message."""
        outcome = await self.shop.did(ClaimPayment(payment.id, 1, "worker"))
        assert isinstance(outcome, Claimed | Refused)
        return outcome


@pytest.fixture
async def desk(idle_shop: Shop, metrics: Metrics) -> AsyncIterator[Desk]:
    """Of a test's own database, at today's time until the test says otherwise."""
    today = live(Policy())
    async with GroupCommitter(
        idle_shop.pool, lambda: record.replace(today(), now=at.now), metrics
    ) as committer:
        shop = replace(idle_shop, committer=committer)
        schedule = Schedule(
            shop.pool,
            shop.pool,
            committer,
            metrics,
            lambda: at.now,
            outbox_retention_s=604_800.0,
            patience_s=PATIENCE.total_seconds(),
            providers=NAMES,
            looks=Looks(share=inf),
        )
        resending = Resending(shop.pool, schedule.sent_again, NAMES, PATIENCE, AT_ONCE, inf)
        at = Desk(shop, schedule, resending, datetime.now(UTC))
        yield at


async def bought(desk: Desk, count: int, provider: Provider = STRIPE) -> list[Payment]:
    """One after the other, a second apart."""
    customer, payments = await desk.shop.customer(), []
    for _ in range(count):
        desk.now += timedelta(seconds=1)
        payments.append(await desk.shop.bought(customer, provider))
    return payments


async def test_an_hour_in_which_nobody_takes_anything_makes_no_storm(desk: Desk) -> None:
    """So few of each provider's a patience; and what comes back takes them when it gets there."""
    stripes, paypals = await bought(desk, 60, STRIPE), await bought(desk, 60, PAYPAL)
    for _ in range(120):
        desk.now += timedelta(seconds=30)
        await desk.looks()
    sent = await desk.sent()
    assert 2 * AT_ONCE * 25 <= len(sent) <= 2 * AT_ONCE * 31
    # The stage reads its topic from where it stood; until it is through it is hardly sent more.
    for payment in (*stripes, *paypals):
        assert isinstance(await desk.takes(payment), Claimed)
        await desk.looks()
    assert len(await desk.sent()) <= len(sent) + 3 * 2 * AT_ONCE
    # And what it had been sent twice, or thirty times, it takes no second time.
    assert isinstance(await desk.takes(stripes[-1]), Refused)


async def test_what_was_lost_is_sent_again_as_fast_as_it_is_taken(desk: Desk) -> None:
    """Each look so many, or twice what was taken since: the newest first, and all of them."""
    payments = await bought(desk, 43)
    desk.now += PATIENCE
    rounds = []
    while True:
        known = len(await desk.sent())
        await desk.looks()
        await desk.looks()
        if not (sent := (await desk.sent())[known:]):
            break
        rounds.append(sent)
        by_id = {each.id: each for each in payments}
        taken = await asyncio.gather(*(desk.takes(by_id[each]) for each in sent))
        assert all(isinstance(each, Claimed) for each in taken)
    assert [len(each) for each in rounds] == [5, 10, 20, 8]
    assert [set(each) for each in rounds[:1]] == [{each.id for each in payments[-5:]}]
    assert {each for sent in rounds for each in sent} == {each.id for each in payments}


async def test_while_there_is_more_it_is_looked_for_soon(desk: Desk) -> None:
    """As long as all that was sent is taken; what nobody takes is no reason to look again."""
    payments = {each.id: each for each in await bought(desk, 3 * AT_ONCE + 1)}
    desk.now += PATIENCE
    for count, is_more in ((AT_ONCE, True), (2 * AT_ONCE, True), (1, False)):
        known = len(await desk.sent())
        assert await desk.resending.look(desk.now) is is_more
        sent = (await desk.sent())[known:]
        assert len(sent) == count
        if is_more:
            assert await desk.resending.look(desk.now) is False
            assert len(await desk.sent()) == known + count
        for each in sent:
            await desk.takes(payments[each])


async def test_as_much_is_on_its_way_as_is_taken_between_two_looks(desk: Desk) -> None:
    """Twice that, and never more than five times what is sent at first; what is slow gets less."""
    payments = {each.id: each for each in await bought(desk, 100)}
    desk.now += PATIENCE
    on_the_way: list[UUID] = []
    is_more: list[bool] = []

    async def look(taken: int) -> int:
        """How many are sent, once so many were taken of those that are on their way."""
        nonlocal on_the_way
        for each in on_the_way[:taken]:
            assert isinstance(await desk.takes(payments[each]), Claimed)
        known = len(await desk.sent())
        is_more.append(await desk.resending.look(desk.now))
        sent = (await desk.sent())[known:]
        on_the_way = [*on_the_way[taken:], *sent]
        return len(sent)

    assert [await look(taken) for taken in (0, 5, 10, 20, 4, 4, 15)] == [5, 10, 20, 25, 0, 0, 23]
    assert is_more == [True] * 7
    # Nobody takes any more. What was sent and not taken is overdue again: that is no reason to
    # send more of it than at first.
    assert await look(0) == 0
    assert not is_more[-1]
    for _ in range(3):
        desk.now += PATIENCE
        on_the_way = []
        assert await look(0) == AT_ONCE


async def test_a_provider_nobody_gets_to_holds_up_no_other(desk: Desk) -> None:
    """What it is sent again is never taken; the other's is, and goes on."""
    await bought(desk, 20, STRIPE)
    others = await bought(desk, 12, PAYPAL)
    desk.now += PATIENCE
    for _ in range(4):
        await desk.looks()
        for payment in others:
            await desk.takes(payment) if payment.id in set(await desk.sent()) else None
    sent = set(await desk.sent())
    assert {each.id for each in others} <= sent
    assert len(sent) == len(others) + AT_ONCE


async def test_what_nobody_takes_of_one_kind_holds_up_nothing_of_another(desk: Desk) -> None:
    """Captures that wait, newer ones each time: the same provider's charges go on."""
    lost = await bought(desk, 3)
    for _ in range(AT_ONCE):
        desk.now += PATIENCE / 1_000
        payment = await desk.shop.authorized()
        await desk.shop.did(CapturePayment(TENANT, payment.id, None))
    for _ in range(20):
        desk.now += PATIENCE / 4
        await desk.looks()
    assert {each.id for each in lost} <= set(await desk.sent())


async def test_what_is_locked_holds_up_nothing_that_is_older(
    desk: Desk, brisk_committer: GroupCommitter
) -> None:
    """As many as are sent at once are passed over, and sent when somebody has let them go."""
    schedule = replace(desk.schedule, committer=brisk_committer)
    desk.resending.wake = schedule.sent_again
    desk.now -= 3 * PATIENCE
    lost, locked = await bought(desk, 3), await bought(desk, AT_ONCE)
    desk.now += 3 * PATIENCE
    async with desk.shop.locked(*locked):
        await desk.resending.look(desk.now)
        assert await desk.sent() == []
        await desk.resending.look(desk.now)
        assert set(await desk.sent()) == {each.id for each in lost}
    for payment in lost:
        assert isinstance(await desk.takes(payment), Claimed)
    desk.now += PATIENCE / 2
    await desk.resending.look(desk.now)
    assert {each.id for each in locked} < set(await desk.sent())


async def test_refunds_are_sent_again_likewise(desk: Desk) -> None:
    """So many at once, and more when these were taken."""
    refunds = []
    for payment in await bought(desk, 8):
        claim = await desk.takes(payment)
        assert isinstance(claim, Claimed)
        attempt, charged = claim.attempt, Succeeded(f"pi_{payment.id}")
        await desk.shop.did(
            SettlePayment(payment.id, attempt.id, attempt.operation, charged, SOURCE)
        )
        refund = await desk.shop.did(RefundPayment(TENANT, payment.id, None))
        assert isinstance(refund, Refund)
        refunds.append(refund)
    desk.now += PATIENCE
    await desk.looks()
    await desk.looks()
    assert await desk.refunds_sent() == 8 + AT_ONCE
    for refund in refunds:
        assert isinstance(await desk.shop.did(ClaimRefund(refund.id, 1, "worker")), Claimed)
    await desk.looks()
    assert await desk.refunds_sent() == 8 + AT_ONCE


async def test_a_retry_waits_behind_nothing_that_was_sent(desk: Desk) -> None:
    """Many that nobody takes are overdue: who is due by his own time is woken at once."""
    await bought(desk, 40)
    desk.now += PATIENCE
    await desk.looks()
    payment = (await bought(desk, 1))[0]
    assert isinstance(await desk.takes(payment), Claimed)
    desk.now += timedelta(seconds=Policy().lease_s)
    await desk.schedule.wake_due()
    assert await desk.shop.status(payment) == "unknown"


async def test_behind_a_backlog_what_becomes_due_is_woken_at_its_time(desk: Desk) -> None:
    """And what a commit that took its time made due; all that waits is looked through seldom.

    Then, or when the clock has gone back, what fell due long ago and was kept is found again.
    """
    schedule = replace(desk.schedule, looks=Looks(share=1e-9))
    older, late, newer = await bought(desk, 3)
    for payment in (older, late, newer):
        assert isinstance(await desk.takes(payment), Claimed)
    await schedule.wake_due()
    for payment, ago_s in ((older, 60), (late, 2)):
        due_at = desk.now - timedelta(seconds=ago_s)
        await desk.shop.pool.execute(
            "UPDATE payments SET due_at = $2 WHERE id = $1", payment.id, due_at
        )
    desk.now += timedelta(seconds=Policy().lease_s)
    await schedule.wake_due()
    statuses = [await desk.shop.status(each) for each in (older, late, newer)]
    assert statuses == ["processing", "unknown", "unknown"]
    desk.now -= timedelta(seconds=1)
    await schedule.wake_due()
    assert await desk.shop.status(older) == "unknown"


async def test_behind_a_backlog_whoever_was_locked_is_woken_when_he_is_free(desk: Desk) -> None:
    """However long ago he fell due; nothing else is looked through for it."""
    schedule = replace(desk.schedule, looks=Looks(share=1e-9))
    (payment,) = await bought(desk, 1)
    assert isinstance(await desk.takes(payment), Claimed)
    await schedule.wake_due()
    desk.now += timedelta(seconds=Policy().lease_s)
    async with desk.shop.pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM payments WHERE id = $1 FOR UPDATE", payment.id)
        await schedule.wake_due()
        desk.now += timedelta(minutes=1)
        await schedule.wake_due()
    assert await desk.shop.status(payment) == "processing"
    await schedule.wake_due()
    assert await desk.shop.status(payment) == "unknown"


async def test_one_providers_backlog_is_seldom_looked_through_for_another(desk: Desk) -> None:
    """Nothing of the other's is found, for reading all: it is looked for again later."""
    await bought(desk, 12, STRIPE)
    desk.now += PATIENCE
    desk.resending.look_share = 1e-9
    await desk.resending.look(desk.now)
    (other,) = await bought(desk, 1, PAYPAL)
    desk.now += PATIENCE
    await desk.resending.look(desk.now)
    sent = await desk.sent()
    assert other.id not in sent
    assert len(sent) == AT_ONCE
