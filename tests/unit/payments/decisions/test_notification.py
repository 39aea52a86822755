"""Hints: what they hasten, what they may not decide, and what a provider's answer makes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import (
    ComparePayment,
    CompareRefund,
    NotifyPayment,
    NotifyRefund,
    SettlePayment,
    WakePayment,
)
from payments.dead_letter import DeadLetterReason
from payments.decision import Decision, Refused
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import Declined, NotFound, Operation, Succeeded, Unknown
from payments.payment import PaymentStatus, Provider
from tests.support.factories import SOURCE, said, usd
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import POLICY, Scene, scene_of
from tests.support.payments.refund_paths import refund_scene_of

if TYPE_CHECKING:
    from payments.outcome import Finding

DECLINED: Final = Declined("canceled", "canceled")
OTHER_AMOUNT: Final = Unknown("amount_mismatch", "asked for 50, found 40")
REASONS: Final = {
    NotificationEffect.CONFIRMED: [],
    NotificationEffect.CONTRADICTION: [DeadLetterReason.CONTRADICTION],
    NotificationEffect.UNRESOLVED: [DeadLetterReason.OUTCOME_UNRESOLVED],
}
PATIENCE: Final = timedelta(seconds=POLICY.notification_patience_s)


def effect_of(outcome: Decision | Refused) -> NotificationEffect:
    result = granted(outcome).result
    assert isinstance(result, NotificationTaken)
    return result.effect


def hint(scene: Scene, what: Reported, event_id: str = "evt_1") -> NotificationEffect:
    return effect_of(scene.desk.ask(NotifyPayment(scene.payment_id, said(what, event_id))))


def test_an_unknown_payment_is_asked_after_at_once() -> None:
    """Its next inquiry was minutes away; the hint makes it due, and waking it sends the work."""
    scene = scene_of("unknown")
    assert scene.payment.progress.due_at is not None
    assert scene.payment.progress.due_at > scene.desk.now
    assert hint(scene, Reported.DONE) is NotificationEffect.ASKED
    assert scene.payment.progress.due_at == scene.desk.now
    assert granted(scene.desk.ask(WakePayment(scene.payment_id))).work


def test_a_worker_at_its_call_is_given_a_moment_for_its_own_answer() -> None:
    """Its lease ends sooner, not now: the answer is most likely on its way."""
    scene = scene_of("processing")
    lease = scene.payment.progress.lease_id
    assert hint(scene, Reported.DONE) is NotificationEffect.ASKED
    assert scene.payment.progress.due_at == scene.desk.now + PATIENCE
    assert scene.payment.progress.lease_id == lease
    scene.play("succeeded")
    assert scene.payment.status is PaymentStatus.COMPLETED


def test_a_worker_that_died_is_given_up_sooner() -> None:
    """The lease it holds would have kept the payment for half a minute."""
    scene = scene_of("processing")
    hint(scene, Reported.DONE)
    scene.desk.now += PATIENCE
    assert granted(scene.desk.ask(WakePayment(scene.payment_id))).work
    assert scene.payment.status is PaymentStatus.UNKNOWN


def test_a_second_hint_does_not_hasten_what_is_due() -> None:
    """A storm of notifications changes a row once, and prolongs nothing."""
    scene = scene_of("processing")
    hint(scene, Reported.DONE)
    scene.desk.now += PATIENCE / 2
    version = scene.payment.version
    assert hint(scene, Reported.DONE, "evt_2") is NotificationEffect.NOTHING
    assert scene.payment.version == version


@pytest.mark.parametrize("situation", ["processing", "unknown", "completed", "failed"])
def test_an_event_is_taken_once(situation: str) -> None:
    """Delivered again it says nothing, whatever happened to the payment since."""
    scene = scene_of(situation)
    taken = hint(scene, Reported.NOT_DONE)
    if taken is NotificationEffect.DOUBTED:
        event = said(Reported.NOT_DONE)
        command = ComparePayment(scene.payment_id, event, Operation.CHARGE, Succeeded("pi_1"))
        assert effect_of(scene.desk.ask(command)) is NotificationEffect.CONFIRMED
    again = granted(scene.desk.ask(NotifyPayment(scene.payment_id, said(Reported.NOT_DONE))))
    assert effect_of(again) is NotificationEffect.DUPLICATE
    assert again == Decision(again.result)


def test_a_doubt_is_not_taken_until_the_provider_has_answered() -> None:
    """Whoever dies while asking has taken nothing: the event is delivered again and asked again."""
    scene = scene_of("failed")
    assert hint(scene, Reported.DONE) is NotificationEffect.DOUBTED
    assert hint(scene, Reported.DONE) is NotificationEffect.DOUBTED


@pytest.mark.parametrize(
    ("situation", "what", "operation", "amount_minor", "reference"),
    [
        ("failed", Reported.DONE, Operation.CHARGE, 5_000, "pi_1"),
        ("failed", Reported.HELD, Operation.AUTHORIZE, 5_000, "pi_1"),
        ("cancelled", Reported.DONE, Operation.CHARGE, 5_000, "pi_1"),
        ("completed", Reported.NOT_DONE, Operation.CHARGE, 5_000, "pi_1"),
        ("refunded", Reported.NOT_DONE, Operation.CHARGE, 5_000, "pi_1"),
        ("authorized", Reported.NOT_DONE, Operation.AUTHORIZE, 5_000, "pi_1"),
        ("authorized", Reported.DONE, Operation.CAPTURE, 5_000, "pi_1"),
        ("voided", Reported.DONE, Operation.CAPTURE, 5_000, "pi_1"),
    ],
)
def test_the_question_is_about_what_was_claimed(
    situation: str, what: Reported, operation: Operation, amount_minor: int, reference: str
) -> None:
    """The operation that would have done it, of the amount that counts."""
    scene = scene_of(situation)
    result = granted(scene.desk.ask(NotifyPayment(scene.payment_id, said(what)))).result
    assert isinstance(result, NotificationTaken)
    assert result.question is not None
    asked = result.question
    assert (asked.operation, asked.amount, asked.reference) == (
        operation,
        usd(amount_minor),
        reference,
    )


@pytest.mark.parametrize(
    ("situation", "operation", "found", "effect"),
    [
        ("failed", Operation.CHARGE, Succeeded("pi_1"), NotificationEffect.CONTRADICTION),
        ("failed", Operation.CHARGE, DECLINED, NotificationEffect.CONFIRMED),
        ("failed", Operation.CHARGE, NotFound(), NotificationEffect.CONFIRMED),
        ("failed", Operation.CHARGE, OTHER_AMOUNT, NotificationEffect.UNRESOLVED),
        ("failed", Operation.AUTHORIZE, Succeeded("pi_1"), NotificationEffect.CONTRADICTION),
        ("cancelled", Operation.CHARGE, Succeeded("pi_1"), NotificationEffect.CONTRADICTION),
        ("completed", Operation.CHARGE, Succeeded("pi_1"), NotificationEffect.CONFIRMED),
        ("completed", Operation.CHARGE, DECLINED, NotificationEffect.CONTRADICTION),
        ("completed", Operation.CHARGE, NotFound(), NotificationEffect.CONTRADICTION),
        ("completed", Operation.CHARGE, OTHER_AMOUNT, NotificationEffect.UNRESOLVED),
        ("partially_refunded", Operation.CHARGE, Succeeded("pi_1"), NotificationEffect.CONFIRMED),
        ("authorized", Operation.AUTHORIZE, Succeeded("pi_1"), NotificationEffect.CONFIRMED),
        ("authorized", Operation.AUTHORIZE, NotFound(), NotificationEffect.CONTRADICTION),
        ("authorized", Operation.AUTHORIZE, OTHER_AMOUNT, NotificationEffect.UNRESOLVED),
        ("authorized", Operation.CAPTURE, Succeeded("pi_1"), NotificationEffect.CONTRADICTION),
        ("authorized", Operation.CAPTURE, NotFound(), NotificationEffect.CONFIRMED),
        ("voided", Operation.CAPTURE, NotFound(), NotificationEffect.CONFIRMED),
        ("voided", Operation.CAPTURE, Succeeded("pi_1"), NotificationEffect.CONTRADICTION),
    ],
)
def test_only_the_provider_s_answer_makes_a_dead_letter(
    situation: str,
    operation: Operation,
    found: Finding,
    effect: NotificationEffect,
) -> None:
    """It is parked when the answer differs from our books, and no money moves either way."""
    scene = scene_of(situation)
    before = scene.payment
    command = ComparePayment(scene.payment_id, said(Reported.DONE), operation, found)
    decision = granted(scene.desk.ask(command))
    assert effect_of(decision) is effect
    assert [each.reason for each in decision.dead_letters] == REASONS[effect]
    assert all(each.payment_id == before.id for each in decision.dead_letters)
    assert scene.payment == before
    assert not decision.transfers


def test_a_payment_redriven_while_the_provider_was_asked_is_left_to_its_worker() -> None:
    """The answer is about an earlier life of it."""
    scene = scene_of("redriven")
    command = ComparePayment(
        scene.payment_id, said(Reported.DONE), Operation.CHARGE, Succeeded("pi_1")
    )
    assert effect_of(scene.desk.ask(command)) is NotificationEffect.NOTHING


def test_the_letter_names_the_event_and_holds_nothing_else_of_it() -> None:
    """A notification may carry what must not be published; the provider shows it under its id."""
    scene = scene_of("failed")
    command = ComparePayment(
        scene.payment_id, said(Reported.DONE), Operation.CHARGE, Succeeded("pi_1")
    )
    (letter,) = granted(scene.desk.ask(command)).dead_letters
    assert letter.source.value == (
        b'{"event_id": "evt_1", "event_type": "test.done", "reference": "pi_1"}'
    )
    assert letter.error == (
        "failed here, but asked after the charge stripe answers: it succeeded, as pi_1 "
        "(asked because of test.done evt_1)"
    )


def test_another_provider_s_event_is_none_of_ours() -> None:
    """A payment id in a foreign notification opens nothing."""
    scene = scene_of("unknown")
    event = said(Reported.DONE, provider=Provider("paypal"))
    assert isinstance(scene.desk.ask(NotifyPayment(scene.payment_id, event)), Refused)


@pytest.mark.parametrize(
    ("situation", "what", "found", "effect"),
    [
        ("completed", Reported.NOT_DONE, DECLINED, NotificationEffect.CONTRADICTION),
        ("completed", Reported.NOT_DONE, NotFound(), NotificationEffect.CONTRADICTION),
        ("completed", Reported.NOT_DONE, Succeeded("re_1"), NotificationEffect.CONFIRMED),
        ("completed", Reported.NOT_DONE, OTHER_AMOUNT, NotificationEffect.UNRESOLVED),
        ("failed", Reported.DONE, Succeeded("re_1"), NotificationEffect.CONTRADICTION),
        ("failed", Reported.DONE, NotFound(), NotificationEffect.CONFIRMED),
    ],
)
def test_a_closed_refund_is_confronted_likewise(
    situation: str, what: Reported, found: Finding, effect: NotificationEffect
) -> None:
    """One the bank sent back days later is found, and so is one that went through after all."""
    scene = refund_scene_of(situation)
    result = granted(scene.desk.ask(NotifyRefund(scene.refund_id, said(what)))).result
    assert isinstance(result, NotificationTaken)
    assert result.question is not None
    assert (result.question.operation, result.question.amount) == (Operation.REFUND, usd(2_000))
    decision = granted(scene.desk.ask(CompareRefund(scene.refund_id, said(what), found)))
    assert effect_of(decision) is effect
    assert all(each.refund_id == scene.refund_id for each in decision.dead_letters)
    assert [each.reason for each in decision.dead_letters] == REASONS[effect]


def test_a_late_answer_after_a_hint_still_counts() -> None:
    """The worker that was given up for dead brings its answer to a payment under inquiry."""
    scene = scene_of("processing")
    attempt = scene.desk.attempts_of(scene.payment)[-1]
    hint(scene, Reported.DONE)
    scene.desk.now += PATIENCE
    scene.desk.ask(WakePayment(scene.payment_id))
    late = SettlePayment(scene.payment_id, attempt.id, attempt.operation, Succeeded("pi_1"), SOURCE)
    scene.desk.ask(late)
    assert scene.payment.status is PaymentStatus.COMPLETED
