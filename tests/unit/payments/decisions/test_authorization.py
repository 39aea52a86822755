"""Authorizations end: by the clock, or because the provider let them go."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Final

import pytest

from payments.commands import (
    CapturePayment,
    ComparePayment,
    ExpireAuthorization,
    NotifyPayment,
)
from payments.decision import Decision, RefusalCode, Refused
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import Declined, Operation
from payments.payment import PaymentStatus
from tests.support.factories import TENANT, said
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import POLICY, Scene, scene_of

TTL: Final = timedelta(seconds=POLICY.authorization_ttl_s)
LET_GO: Final = Declined("authorization_expired", "automatic")


def test_an_authorization_is_due_when_it_expires() -> None:
    """Seven days unless said otherwise, and the payment says so itself."""
    payment = scene_of("authorized").payment
    assert payment.authorization_expires_at == payment.updated_at + TTL
    assert payment.progress.due_at == payment.authorization_expires_at
    assert timedelta(days=7) == TTL


def test_what_was_not_captured_in_time_is_cancelled_and_says_why() -> None:
    """The customer has the money back at once, and the event carries the reason."""
    scene = scene_of("authorized")
    decision = granted(scene.desk.ask(scene.command("expire")))
    (event,) = decision.events
    assert event.payment.status is PaymentStatus.CANCELLED
    assert event.payment.last_error_code == "authorization_expired"
    (account,) = decision.accounts
    assert account.debits_pending == 0


@pytest.mark.parametrize("order", [*permutations(("capture", "cancel", "expire"))])
def test_whoever_is_first_at_an_authorization_has_it(order: tuple[str, ...]) -> None:
    """A capture, a cancel and the expiry in any order: one wins, the others are refused."""
    scene = scene_of("authorized")
    outcomes = [scene.desk.ask(scene.command(rival)) for rival in order]
    assert [isinstance(each, Decision) for each in outcomes] == [True, False, False]


def test_why_it_was_given_back_outlives_the_troubles_of_its_void() -> None:
    """What the provider said of the void is in its letter, for whom it concerns."""
    scene = scene_of("expired")
    scene.play("claim retriable wake claim retriable")
    assert scene.payment.last_error_code == "authorization_expired"
    (letter,) = scene.desk.decided[-1].dead_letters
    assert letter.error == "rate_limited: later"


def test_an_expired_authorization_is_not_captured_while_the_schedule_is_away() -> None:
    """What a client is answered does not hang on a process that is late."""
    scene = scene_of("authorized")
    scene.desk.now += TTL
    outcome = scene.desk.ask(CapturePayment(TENANT, scene.payment_id, None))
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.PAYMENT_NOT_CAPTURABLE


def test_a_capture_in_flight_when_the_time_is_over_goes_on() -> None:
    """Only when it was given up is the authorization looked at, and is then over."""
    scene = scene_of("last_capture")
    scene.desk.now += TTL
    assert isinstance(scene.desk.ask(ExpireAuthorization(scene.payment_id)), Refused)
    scene.play("retriable expire")
    assert scene.payment.status is PaymentStatus.CANCELLED


def test_a_declined_capture_leaves_nothing_held_anywhere() -> None:
    """The payment failed, the customer has the money back, and the provider is told to let go."""
    scene = scene_of("capturing")
    scene.play("declined")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.operation is Operation.VOID
    scene.play("claim succeeded")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.progress.due_at is None


def test_a_payment_whose_capture_failed_is_voided_again_and_never_charged_again() -> None:
    """What an operator redrives is the void that was given up: the charge was answered."""
    scene = scene_of("capturing")
    scene.play("declined claim retriable wake claim retriable redrive")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.operation is Operation.VOID


def confronted(scene: Scene) -> Decision:
    """What follows when the provider, asked because of a notification, holds nothing more."""
    hinted = granted(
        scene.desk.ask(NotifyPayment(scene.payment_id, said(Reported.NOT_DONE)))
    ).result
    assert isinstance(hinted, NotificationTaken)
    assert hinted.question is not None
    operation = hinted.question.operation
    command = ComparePayment(scene.payment_id, said(Reported.NOT_DONE), operation, LET_GO)
    return granted(scene.desk.ask(command))


def test_what_the_provider_let_go_is_cancelled_and_no_void_is_owed() -> None:
    """The hold is released, nothing is parked, and the notification is taken once."""
    scene = scene_of("authorized")
    decision = confronted(scene)
    assert isinstance(decision.result, NotificationTaken)
    assert decision.result.effect is NotificationEffect.LAPSED
    assert [each.effect for each in decision.provider_events] == [NotificationEffect.LAPSED]
    assert scene.payment.status is PaymentStatus.CANCELLED
    assert scene.payment.last_error_code == "authorization_expired"
    assert scene.payment.progress.due_at is None
    assert (decision.work, decision.dead_letters) == ((), ())
    (account,) = decision.accounts
    assert account.debits_pending == 0


def test_a_capture_asked_for_while_the_provider_was_asked_decides_itself() -> None:
    """Its own answer will say that there is nothing to capture."""
    scene = scene_of("capturing")
    command = ComparePayment(scene.payment_id, said(Reported.NOT_DONE), Operation.AUTHORIZE, LET_GO)
    decision = granted(scene.desk.ask(command))
    assert not decision.payments
    scene.play("declined claim succeeded")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.progress.due_at is None
