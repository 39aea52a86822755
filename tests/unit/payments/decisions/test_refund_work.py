"""Refunds never exceed what was captured, whatever is asked at once and whatever fails."""

from __future__ import annotations

from uuid import UUID

import pytest

from payments.commands import ClaimRefund, CreatePayment, RefundPayment, SettleRefund
from payments.dead_letter import DeadLetterReason
from payments.decision import Decision, RefusalCode, Refused
from payments.money import Money
from payments.outcome import Declined, Retriable, Succeeded
from payments.payment import PaymentStatus
from payments.refund import Refund, RefundStatus
from tests.support.factories import SOURCE, TENANT, pay, usd
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import Scene, scene_of
from tests.support.payments.refund_paths import refund_scene_of


def refund(scene: Scene, amount: Money | None = None) -> Decision | Refused:
    return scene.desk.ask(RefundPayment(TENANT, scene.payment_id, amount))


def refunded(scene: Scene, amount: Money | None = None) -> Refund:
    made = granted(refund(scene, amount)).result
    assert isinstance(made, Refund)
    return made


@pytest.mark.parametrize("situation", ["completed", "transferred"])
def test_eight_refunds_of_the_whole_pay_once(situation: str) -> None:
    """Asked for eight times over, the money goes back once."""
    scene = scene_of(situation)
    outcomes = [refund(scene, usd(5_000)) for _ in range(8)]
    refusals = [each.code for each in outcomes if isinstance(each, Refused)]
    assert refusals == [RefusalCode.REFUND_EXCEEDS_PAYMENT] * 7


def test_without_an_amount_what_is_left_is_refunded() -> None:
    """After a partial refund the rest is the default."""
    scene = scene_of("completed")
    refunded(scene, usd(1_500))
    assert refunded(scene).amount == usd(3_500)


def test_a_declined_refund_may_be_asked_for_again() -> None:
    """What was not given back is again there to refund, and the payment keeps its state."""
    scene = scene_of("completed")
    made = refunded(scene)
    granted(scene.desk.ask(ClaimRefund(made.id, 1, "w")))
    attempt = scene.desk.attempts_of(made)[-1]
    granted(scene.desk.ask(SettleRefund(made.id, attempt.id, Declined("no", "no"), SOURCE)))
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert scene.payment.refundable_minor == 5_000
    assert refunded(scene).amount == usd(5_000)


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (usd(5_001), RefusalCode.REFUND_EXCEEDS_PAYMENT),
        (usd(0), RefusalCode.REFUND_EXCEEDS_PAYMENT),
        (Money(-1, "USD"), RefusalCode.REFUND_EXCEEDS_PAYMENT),
        (Money(1, "EUR"), RefusalCode.CURRENCY_MISMATCH),
    ],
)
def test_a_refund_is_of_some_money_that_was_captured(amount: Money, code: RefusalCode) -> None:
    """Not more, not nothing, not another currency."""
    outcome = refund(scene_of("completed"), amount)
    assert isinstance(outcome, Refused)
    assert outcome.code is code


def test_returning_a_transfer_needs_the_payee_to_have_it() -> None:
    """The payee spent it: refused, and nothing is promised."""
    scene = scene_of("transferred")
    payee = scene.payment.destination_account_id
    assert payee is not None
    accounts = scene.desk.working.accounts
    granted(scene.desk.ask(_all_of(scene, payee)))
    assert accounts[payee].available == 0
    outcome = refund(scene)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.INSUFFICIENT_FUNDS
    assert scene.payment.refund_pending_minor == 0


def test_every_try_at_a_refund_carries_the_key_of_the_first() -> None:
    """Over retries and inquiries the provider sees one idempotency key, the refund's own."""
    scene = refund_scene_of("inquiring")
    keys = [each.provider_key for each in scene.desk.attempts_of(scene.refund)]
    assert keys == [f"refund-{scene.refund_id}"] * 2


def test_a_refund_that_succeeded_after_all_leaves_a_letter() -> None:
    """Failed here, paid there: a human must look, the reference is in the letter."""
    scene = refund_scene_of("processing")
    zombie = scene.settled(Succeeded("re_late"))
    granted(scene.desk.ask(scene.settled(Declined("no", "no"))))
    (letter,) = granted(scene.desk.ask(zombie)).dead_letters
    assert letter.reason is DeadLetterReason.CONTRADICTION
    assert "re_late" in letter.error
    assert scene.refund.status is RefundStatus.FAILED


def test_a_provider_may_ask_for_more_time_for_a_refund() -> None:
    """Its Retry-After counts when it is longer than the back-off."""
    scene = refund_scene_of("processing")
    granted(scene.desk.ask(scene.settled(Retriable("busy", "later", 20.0))))
    due_at = scene.refund.progress.due_at
    assert due_at is not None
    assert (due_at - scene.desk.now).total_seconds() == 20


def _all_of(scene: Scene, account_id: UUID) -> CreatePayment:
    held = scene.desk.working.accounts[account_id].available
    return pay(account_id, usd(held))
