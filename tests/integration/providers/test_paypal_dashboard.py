"""What PayPal's dashboard, banks and time do to a payment, and how the gateway sees it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from prometheus_client import CollectorRegistry

from payments.money import Money
from payments.notification import Reported
from payments.outcome import CapturedElsewhere, Declined, Operation, Pending, Succeeded
from payments.record import replace
from payments.standing import DisputeKind, DisputeState, FoundState, Standing
from providers.gateway import StandingQuery
from providers.notifications import PaymentNotification, RefundNotification
from providers.paypal.config import PayPalConfig
from providers.paypal.events import EVENT_TYPES, read_paypal_event
from providers.paypal.gateway import PayPalGateway
from providers.registry import NAMES
from simulator import dashboard
from simulator.faults import FaultKind, FaultSpec
from simulator.journal_report import PaymentReport
from simulator.server import Simulator, SimulatorConfig, build, serve
from simulator.vendor import Subscription
from telemetry.metrics import Metrics
from tests.support.providers.configs import configured
from tests.support.providers.requests import Payment, new_id
from tests.support.simulator.receiver import receiving
from tests.support.waiting import eventually

ALL, PART, REST = Money(5000, "USD"), Money(2000, "USD"), Money(3000, "USD")


@dataclass(frozen=True, slots=True)
class Shop:
    """A gateway, and the simulated PayPal whose dashboard is at hand."""

    gateway: PayPalGateway
    simulator: Simulator

    async def act(self, action: dashboard.Action, subject: object) -> tuple[str, ...]:
        """Done in the dashboard; the events that PayPal sends of it."""
        vendor = self.simulator.vendors["paypal"]
        acted = await self.simulator.exchange.act(vendor, action, str(subject))
        assert acted is not None
        assert acted.decision.error is None, acted.answer.body
        assert set(acted.decision.events) <= set(EVENT_TYPES)
        return acted.decision.events

    def report(self, payment: Payment) -> PaymentReport:
        report = self.simulator.exchange.report.payment("paypal", str(payment.id))
        assert report is not None
        return report

    async def look(self, reference: str) -> Standing:
        standing = await self.gateway.look(StandingQuery(provider_reference=reference))
        assert isinstance(standing, Standing)
        return standing

    async def standing(self, payment: Payment, reference: str) -> Standing:
        """By a reference of ours; it agrees with PayPal's own journal."""
        standing, report = await self.look(reference), self.report(payment)
        assert standing.payment_id == payment.id
        assert sum(each.amount.amount_minor for each in standing.captures) == report.charged_minor
        given_back = sum(
            each.amount.amount_minor
            for each in standing.refunds
            if each.state is not FoundState.FAILED
        )
        assert given_back == report.refunded_minor
        assert _taken(standing) == report.withdrawn_minor + report.reversed_minor
        return standing

    async def charged(self, payment: Payment) -> str:
        return _reference(await self.gateway.charge(payment.charge()))

    async def authorized(self, payment: Payment) -> str:
        return _reference(await self.gateway.charge(payment.charge(capture=False)))


def _reference(outcome: object) -> str:
    assert isinstance(outcome, Succeeded)
    return outcome.reference


def _taken(standing: Standing) -> int:
    """What disputes and reversals have taken."""
    return sum(each.amount.amount_minor for each in standing.disputes if each.is_withdrawn)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    config = SimulatorConfig(
        host="127.0.0.1", port=0, journal=tmp_path / "journal.jsonl", vendors=NAMES
    )
    simulator = build(config, Metrics(CollectorRegistry()), time.time, random.Random(1))
    async with serve(simulator, config.host, config.port) as port:
        gateway = PayPalGateway(configured(PayPalConfig, f"http://127.0.0.1:{port}"))
        try:
            yield Shop(gateway, simulator)
        finally:
            await gateway.aclose()


async def test_what_the_dashboard_captured_in_part_is_kept_when_the_rest_is_let_go(
    shop: Shop,
) -> None:
    """The void succeeds at PayPal, for the rest; it is no void of the payment."""
    payment = Payment()
    held = await shop.authorized(payment)
    await shop.act(dashboard.Capture(amount=2000), payment.id)
    seen = await shop.standing(payment, held)
    assert (seen.is_held, [each.amount for each in seen.captures]) == (True, [PART])
    outcome = await shop.gateway.void(payment.void(held))
    taken = seen.captures[0].reference
    assert outcome == CapturedElsewhere(taken, PART)
    seen = await shop.standing(payment, held)
    assert (seen.is_held, seen.why_released) == (False, "voided")
    assert shop.report(payment).held_minor == 0
    _reference(await shop.gateway.refund(payment.refund(taken, PART)))


async def test_a_capture_of_more_than_the_dashboard_left_says_what_is_taken(shop: Shop) -> None:
    """And the rest that we ask for then is ours, beside the part that was not."""
    payment = Payment()
    held = await shop.authorized(payment)
    await shop.act(dashboard.Capture(amount=2000), payment.id)
    (part,) = (await shop.standing(payment, held)).captures
    outcome = await shop.gateway.capture(payment.capture(held))
    assert outcome == CapturedElsewhere(part.reference, PART, is_held=True)
    rest = replace(payment.capture(held, REST), idempotency_key=f"{payment.id}-rest")
    ours = _reference(await shop.gateway.capture(rest))
    found = await shop.gateway.inquire(payment.inquiry(Operation.CAPTURE, held, REST))
    assert found == Succeeded(ours, (part.reference,))
    seen = await shop.standing(payment, held)
    assert [each.amount for each in seen.captures] == [PART, REST]
    assert not seen.is_held


@pytest.mark.parametrize("amount", [None, 2000])
async def test_what_was_captured_before_an_authorization_lapsed_is_found(
    shop: Shop, amount: int | None
) -> None:
    """Whatever is asked of it then."""
    payment = Payment()
    held = await shop.authorized(payment)
    await shop.act(dashboard.Capture(amount=amount), payment.id)
    if amount is not None:
        await shop.act(dashboard.Expire(), payment.id)
    taken = Money(amount or 5000, "USD")
    void = await shop.gateway.void(payment.void(held))
    assert isinstance(void, CapturedElsewhere)
    assert (void.amount, void.is_held) == (taken, False)
    asked = await shop.gateway.capture(payment.capture(held))
    assert asked == (void if amount else Succeeded(void.reference))


@pytest.mark.parametrize("action", [dashboard.Void(), dashboard.Expire()])
async def test_what_was_let_go_whole_is_over(shop: Shop, action: dashboard.Action) -> None:
    """For a capture finally, and as good as our own void."""
    payment = Payment()
    held = await shop.authorized(payment)
    events = await shop.act(action, payment.id)
    assert events == ("PAYMENT.AUTHORIZATION.VOIDED",)
    seen = await shop.standing(payment, held)
    assert (seen.is_held, seen.captures, seen.why_released) == (False, (), "voided")
    refused = await shop.gateway.capture(payment.capture(held))
    assert isinstance(refused, Declined)
    assert refused.is_released
    assert await shop.gateway.void(payment.void(held)) == Succeeded(held)


@pytest.mark.parametrize("is_manual", [False, True])
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_what_stays_pending_for_days_is_waited_for(
    shop: Shop, outcome: Literal["succeeded", "failed"], *, is_manual: bool
) -> None:
    """Asked after as often as anybody likes, until PayPal has decided."""
    payment = Payment()
    pend = FaultSpec(kind=FaultKind.PEND, operation="capture" if is_manual else "charge", times=1)
    operation, reference = Operation.CHARGE, None
    if is_manual:
        operation, reference = Operation.CAPTURE, await shop.authorized(payment)
    shop.simulator.exchange.faults.arm(pend)
    if reference:
        first = await shop.gateway.capture(payment.capture(reference))
    else:
        first = await shop.gateway.charge(payment.charge())
    assert first == Pending("pending", "pending: PENDING_REVIEW")
    inquiry = payment.inquiry(operation, reference)
    assert await shop.gateway.inquire(inquiry) == first
    await shop.act(dashboard.Settle(outcome=outcome), payment.id)
    found = await shop.gateway.inquire(inquiry)
    if outcome == "succeeded":
        assert not (await shop.standing(payment, _reference(found))).is_pending
    else:
        assert isinstance(found, Declined)
        assert found.is_released is is_manual
        assert shop.report(payment).held_minor == 0


async def test_a_refund_made_in_the_dashboard_is_told_from_ours(shop: Shop) -> None:
    """Both are there, ours with its id; the other takes what is left to refund."""
    payment = Payment()
    charged = await shop.charged(payment)
    ours = _reference(await shop.gateway.refund(payment.refund(charged, PART)))
    await shop.act(dashboard.GiveBack(), payment.id)
    seen = await shop.standing(payment, charged)
    assert [(each.amount, each.refund_id) for each in seen.refunds] == [
        (PART, payment.refund_id),
        (REST, None),
    ]
    beyond = await shop.gateway.refund(payment.refund(charged, PART, new_id()))
    assert isinstance(beyond, Declined)
    inquiry = payment.inquiry(Operation.REFUND, charged, PART)
    assert await shop.gateway.inquire(inquiry) == Succeeded(ours)


async def test_a_refund_that_the_bank_sent_back_has_failed(shop: Shop) -> None:
    """Days after it succeeded; the amount can be refunded again."""
    payment = Payment()
    charged = await shop.charged(payment)
    ours = _reference(await shop.gateway.refund(payment.refund(charged)))
    await shop.act(dashboard.FailRefund(), ours)
    seen = await shop.standing(payment, charged)
    (refund,) = seen.refunds
    assert (refund.refund_id, refund.state) == (payment.refund_id, FoundState.FAILED)
    inquiry = payment.inquiry(Operation.REFUND, charged)
    assert isinstance(await shop.gateway.inquire(inquiry), Declined)
    _reference(await shop.gateway.refund(payment.refund(charged, ALL, new_id())))


@pytest.mark.parametrize(("outcome", "taken"), [("won", 0), ("lost", 2000)])
async def test_a_dispute_is_seen_from_its_beginning_to_its_end(
    shop: Shop, outcome: Literal["won", "lost"], taken: int
) -> None:
    """By the payment's own reference, and by the dispute that a notification names."""
    payment = Payment()
    charged = await shop.charged(payment)
    await shop.act(dashboard.OpenDispute(amount=2000, reason="UNAUTHORISED"), payment.id)
    seen = await shop.standing(payment, charged)
    (dispute,) = seen.disputes
    assert (dispute.kind, dispute.state) == (DisputeKind.DISPUTE, DisputeState.OPEN)
    assert (dispute.amount, dispute.reason) == (PART, "UNAUTHORISED")
    assert await shop.look(f"dispute/{dispute.reference}") == seen
    await shop.act(dashboard.CloseDispute(outcome=outcome), payment.id)
    seen = await shop.standing(payment, charged)
    assert [each.state.value for each in seen.disputes] == [outcome]
    assert _taken(seen) == taken


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("disputed", [None, 2000])
async def test_a_dispute_that_a_full_refund_ended_takes_nothing_more(
    shop: Shop, disputed: int | None, *, is_ours: bool
) -> None:
    """Made by us or in the dashboard: it is lost, and the money was given back once."""
    payment = Payment()
    charged = await shop.charged(payment)
    await shop.act(dashboard.OpenDispute(amount=disputed), payment.id)
    if is_ours:
        _reference(await shop.gateway.refund(payment.refund(charged)))
    else:
        await shop.act(dashboard.GiveBack(), payment.id)
    seen = await shop.standing(payment, charged)
    assert [each.state for each in seen.disputes] == [DisputeState.LOST]
    assert _taken(seen) == 0


@pytest.mark.parametrize("amount", [None, 2000])
async def test_a_reversal_is_seen_as_one(shop: Shop, amount: int | None) -> None:
    """PayPal shows it among the refunds, and is no refund of anybody's."""
    payment = Payment()
    charged = await shop.charged(payment)
    events = await shop.act(dashboard.Reverse(amount=amount), payment.id)
    assert events == ("PAYMENT.CAPTURE.REVERSED",)
    capture_id = charged.rpartition("/")[2]
    seen = await shop.standing(payment, charged)
    assert await shop.look(f"capture/{capture_id}") == seen
    (reversal,) = seen.disputes
    assert (reversal.kind, reversal.state) == (DisputeKind.REVERSAL, DisputeState.LOST)
    assert _taken(seen) == (amount or 5000)


async def test_whatever_happens_there_is_notified_by_what_it_can_be_looked_at(shop: Shop) -> None:
    """By the payment's id, which all of it has, or by our refund's."""
    payment = Payment()
    vendor = shop.simulator.vendors["paypal"]
    with receiving() as receiver:
        vendor.subscribe(Subscription(receiver.url, "SIMULATOR", EVENT_TYPES))
        charged = await shop.charged(payment)
        order_id, _, capture_id = charged.split("/")
        ours = _reference(await shop.gateway.refund(payment.refund(charged, Money(1000, "USD"))))
        await shop.act(dashboard.FailRefund(), ours)
        await shop.act(dashboard.GiveBack(amount=1000), payment.id)
        await shop.act(dashboard.OpenDispute(amount=1000), payment.id)
        await shop.act(dashboard.CloseDispute(outcome="won"), payment.id)
        await shop.act(dashboard.Reverse(), payment.id)
        await eventually(lambda: len(receiver.received) == 7)
    (dispute, _) = (await shop.look(charged)).disputes
    told = [read_paypal_event(body) for _, body in receiver.received]
    # As the vendor has it, one may overtake another.
    assert Counter(
        (each.event.reported, each.event.reference)
        for each in told
        if isinstance(each, PaymentNotification) and each.payment_id == payment.id
    ) == {
        (Reported.DONE, f"{order_id}/capture/{capture_id}"): 1,
        (Reported.CHANGED, f"capture/{capture_id}"): 2,
        (Reported.CHANGED, f"dispute/{dispute.reference}"): 2,
    }
    assert {
        (each.event.reported, each.event.reference)
        for each in told
        if isinstance(each, RefundNotification) and each.refund_id == payment.refund_id
    } == {(Reported.DONE, ours), (Reported.NOT_DONE, ours)}
