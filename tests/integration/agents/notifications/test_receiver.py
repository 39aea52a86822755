"""Webhooks as hints: what they hasten, what they never decide, and what is answered to whom."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from payments.commands import NotifyPayment, WakePayment
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import Declined, Succeeded
from payments.payment import CaptureMethod, Payment, Provider
from payments.progress import Policy
from providers.registry import NAMES
from simulator.faults import FaultKind, FaultSpec
from simulator.stripe.vendor import Stripe
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.agents.notifications import NO_ANSWER, Desk, desk_at_work, intent_event
from tests.support.factories import said
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

DECLINED = Declined("card_declined", "no")
SOON = timedelta(seconds=6)


@pytest.fixture
async def desk(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> AsyncIterator[Desk]:
    async with (
        aiohttp.ClientSession() as session,
        desk_at_work(committer, pool, session, tmp_path) as opened,
    ):
        yield opened


@pytest.mark.parametrize("provider", NAMES)
async def test_a_lost_answer_is_asked_after_as_soon_as_the_provider_speaks(
    desk: Desk, provider: Provider
) -> None:
    """The payment is unknown and was due in a while; the webhook makes it due now, no more."""
    claimed = await desk.claimed(provider)
    await desk.settle(claimed, NO_ANSWER)
    await desk.charge(claimed)
    await eventually(desk.has_taken)
    row = await desk.row(claimed)
    assert row["status"] == "unknown"
    assert row["due_at"] <= datetime.now(UTC)
    woken = await desk.did(WakePayment(claimed.payment.id))
    assert isinstance(woken, Payment)


async def test_a_claim_in_flight_keeps_its_lease_and_a_moment(desk: Desk) -> None:
    """Webhook and answer race: whoever is second changes nothing."""
    claimed = await desk.claimed(Provider("stripe"))
    reference = await desk.charge(claimed)
    await eventually(desk.has_taken)
    row = await desk.row(claimed)
    assert (row["status"], row["lease_id"]) == ("processing", claimed.attempt.id)
    assert row["due_at"] < datetime.now(UTC) + SOON
    await desk.settle(claimed, Succeeded(reference))
    assert (await desk.row(claimed))["status"] == "completed"


async def test_what_agrees_is_noted_and_nothing_else(desk: Desk) -> None:
    """The ordinary case: the answer came first, and the webhook says the same."""
    claimed = await desk.claimed(Provider("stripe"))
    await desk.settle(claimed, Succeeded("pi_1"))
    before = await desk.row(claimed)
    answer = await desk.post(intent_event("payment_intent.succeeded", claimed))
    assert answer == (200, "nothing")
    assert await desk.row(claimed) == before
    assert await desk.effects() == ["nothing"]


async def test_delivered_again_it_is_taken_once(desk: Desk) -> None:
    """By the vendor's id for the event, whatever happened in between."""
    claimed = await desk.claimed(Provider("stripe"))
    event = intent_event("payment_intent.succeeded", claimed)
    await desk.settle(claimed, NO_ANSWER)
    assert await desk.post(event) == (200, "asked")
    version = (await desk.row(claimed))["version"]
    assert await desk.post(event) == (200, "duplicate")
    assert (await desk.row(claimed))["version"] == version
    assert await desk.effects() == ["asked"]


async def test_delivered_to_several_at_once_it_is_taken_once(desk: Desk) -> None:
    """Two processes take the same event at the same moment, over and over."""
    claimed = await desk.claimed(Provider("stripe"))
    event = said(Reported.DONE, "evt_1")
    command = NotifyPayment(claimed.payment.id, event)
    async with GroupCommitter(desk.pool, live(Policy()), desk.metrics) as other:
        replies = await asyncio.gather(
            *(each.submit(Submission(command)) for each in (desk.committer, other) for _ in "12345")
        )
    effects = [
        reply.result.effect for reply in replies if isinstance(reply.result, NotificationTaken)
    ]
    assert sorted(effects) == [NotificationEffect.ASKED, *[NotificationEffect.DUPLICATE] * 9]
    assert await desk.effects() == ["asked"]


async def test_a_late_failure_of_a_completed_payment_is_asked_and_dismissed(desk: Desk) -> None:
    """Reordered: the failure it tells of was long ago, and the provider itself says so."""
    claimed = await desk.claimed(Provider("stripe"))
    reference = await desk.charge(claimed)
    await desk.settle(claimed, Succeeded(reference))
    await eventually(desk.has_taken)
    event = intent_event("payment_intent.payment_failed", claimed, "evt_late", id=reference)
    assert await desk.post(event) == (200, "confirmed")
    assert (await desk.row(claimed))["status"] == "completed"
    assert await desk.letters() == []


@pytest.mark.parametrize("provider", NAMES)
async def test_money_taken_for_a_failed_payment_is_a_dead_letter(
    desk: Desk, provider: Provider
) -> None:
    """The provider is asked first; the payment stays as it is until somebody has looked."""
    claimed = await desk.claimed(provider)
    await desk.settle(claimed, DECLINED)
    reference = await desk.charge(claimed)
    await eventually(desk.has_taken)
    (letter,) = await desk.letters()
    assert (letter["stage"], letter["reason"]) == ("webhooks", "contradiction")
    assert letter["payment_id"] == claimed.payment.id
    assert f"it was captured after all: 50.00 USD as {reference}" in letter["error"]
    assert (await desk.row(claimed))["status"] == "failed"
    assert await desk.effects() == ["contradiction"]


@pytest.mark.parametrize("provider", NAMES)
async def test_an_authorization_the_provider_let_go_is_cancelled(
    desk: Desk, provider: Provider
) -> None:
    """It says so, is asked, and holds nothing: the customer has the money back, nobody voids."""
    claimed = await desk.claimed(provider, CaptureMethod.MANUAL)
    reference = await desk.charge(claimed)
    await desk.settle(claimed, Succeeded(reference))
    await eventually(desk.has_taken)
    await desk.lapses(claimed)

    async def is_cancelled() -> bool:
        return bool((await desk.row(claimed))["status"] == "cancelled")

    await eventually(is_cancelled)
    row = await desk.row(claimed)
    assert (row["due_at"], row["operation"]) == (None, None)
    assert row["last_error_code"] in {"authorization_expired", "authorization_released"}
    assert await desk.effects() == ["nothing", "recorded"]
    assert await desk.letters() == []
    held = await desk.pool.fetchval("SELECT sum(debits_pending) FROM accounts")
    assert held == 0


async def test_a_claim_of_success_that_the_provider_denies_is_dismissed(desk: Desk) -> None:
    """An event says that a declined payment succeeded; the provider, asked, says declined."""
    claimed = await desk.claimed(Provider("stripe"))
    await desk.settle(claimed, DECLINED)
    await desk.charge(claimed, payment_method="pm_card_chargeDeclined")
    stripe = desk.simulator.vendors["stripe"]
    assert isinstance(stripe, Stripe)
    (intent,) = stripe.state.intents.newest_first()
    await eventually(desk.has_taken)
    event = intent_event("payment_intent.succeeded", claimed, id=intent.id)
    assert await desk.post(event) == (200, "confirmed")
    assert await desk.letters() == []


async def test_what_the_provider_cannot_tell_either_is_for_a_person(desk: Desk) -> None:
    """The event names an intent that is nowhere: it would be delivered in vain for days."""
    claimed = await desk.claimed(Provider("stripe"))
    await desk.settle(claimed, DECLINED)
    event = intent_event("payment_intent.succeeded", claimed)
    assert await desk.post(event) == (200, "unresolved")
    (letter,) = await desk.letters()
    assert letter["reason"] == "outcome_unresolved"


@pytest.mark.parametrize("provider", NAMES)
async def test_a_refund_that_went_through_after_all_is_found(
    desk: Desk, provider: Provider
) -> None:
    """Failed here and done there: the customer has it, and the payment says so."""
    claimed = await desk.claimed(provider)
    reference = await desk.charge(claimed)
    await desk.settle(claimed, Succeeded(reference))
    refund = await desk.refund(claimed.payment.id, reference, DECLINED)

    async def is_found() -> bool:
        return "recorded" in await desk.effects()

    await eventually(is_found)
    status = await desk.pool.fetchval("SELECT status FROM refunds WHERE id = $1", refund.id)
    assert status == "completed"
    assert (await desk.row(claimed))["refunded_minor"] == refund.amount.amount_minor
    assert await desk.letters() == []


async def test_a_provider_that_does_not_answer_is_asked_at_the_next_delivery(desk: Desk) -> None:
    """503, and nothing is noted: the vendor delivers again, and then it is found."""
    claimed = await desk.claimed(Provider("stripe"))
    reference = await desk.charge(claimed)
    await desk.settle(claimed, Succeeded(reference))
    await eventually(desk.has_taken)
    event = intent_event("payment_intent.canceled", claimed, "evt_again", id=reference)
    desk.simulator.exchange.faults.arm(
        FaultSpec(kind=FaultKind.ERROR_BEFORE, operation="retrieve", times=1)
    )
    assert await desk.post(event) == (503, "undecided")
    assert await desk.post(event) == (200, "confirmed")


async def test_a_forged_webhook_is_refused_and_changes_nothing(desk: Desk) -> None:
    """Another secret, or none: 400, which tells the vendor not to hope."""
    claimed = await desk.claimed(Provider("stripe"))
    event = intent_event("payment_intent.succeeded", claimed)
    assert await desk.post(event, secret="whsec_other") == (400, "refused")
    for vendor in ("stripe", "paypal"):
        async with desk.session.post(f"{desk.url}/webhooks/{vendor}", data=b"{}") as answer:
            assert answer.status == 400
    assert await desk.effects() == []
    assert desk.counted("stripe", "refused") == 2


async def test_only_posts_of_a_few_kilobytes_are_read(desk: Desk) -> None:
    """A body without end would be memory without end."""
    async with desk.session.post(f"{desk.url}/webhooks/stripe", data=b"x" * 300_000) as answer:
        assert answer.status == 413
    async with desk.session.get(f"{desk.url}/webhooks/stripe") as answer:
        assert answer.status == 405
    async with desk.session.post(f"{desk.url}/webhooks/adyen", data=b"x") as answer:
        assert answer.status == 404


async def test_what_is_not_about_ours_is_accepted_and_forgotten(desk: Desk) -> None:
    """The account may serve others too; to refuse their events would only make them come again."""
    claimed = await desk.claimed(Provider("paypal"))
    assert await desk.post(intent_event("payment_intent.succeeded", claimed)) == (200, "not_ours")
    assert await desk.post(intent_event("payment_intent.created", claimed)) == (200, "irrelevant")
    assert await desk.post({"id": "evt_1", "type": "payment_intent.succeeded"}) == (400, "refused")
    assert await desk.effects() == []


async def test_without_postgres_the_vendor_is_asked_to_come_back(desk: Desk) -> None:
    """503 with Retry-After: what was not recorded was not taken."""
    claimed = await desk.claimed(Provider("stripe"))
    await desk.pool.close()
    assert await desk.post(intent_event("payment_intent.succeeded", claimed)) == (
        503,
        "unavailable",
    )
