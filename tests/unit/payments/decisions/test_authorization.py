"""Authorizations end: by the clock, or because the provider let them go."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Final

import pytest

from payments.commands import CapturePayment, ExpireAuthorization, ObservePayment
from payments.decision import Decision, RefusalCode, Refused
from payments.events import EventType
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import CapturedElsewhere, Declined, Operation
from payments.payment import PaymentStatus
from payments.standing import Standing
from tests.support.factories import TENANT, said, usd
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import POLICY, Scene, scene_of

TTL: Final = timedelta(seconds=POLICY.authorization_ttl_s)


def test_an_authorization_is_due_when_it_expires() -> None:
    """Seven days unless said otherwise, and the payment says so itself."""
    payment = scene_of("authorized").payment
    assert payment.authorization_expires_at == payment.updated_at + TTL
    assert payment.progress.due_at == payment.authorization_expires_at
    assert timedelta(days=7) == TTL


def test_what_was_not_captured_in_time_is_held_until_its_provider_has_let_go() -> None:
    """Somebody may have captured it there; then the customer has it back, and is told why."""
    scene = scene_of("authorized")
    asked = granted(scene.desk.ask(scene.command("expire")))
    assert asked.transfers == ()
    assert scene.payment.status is PaymentStatus.AUTHORIZED
    scene.play("claim succeeded")
    (event,) = scene.desk.decided[-1].events
    assert event.payment.status is PaymentStatus.CANCELLED
    assert event.payment.last_error_code == "authorization_expired"
    (account,) = scene.desk.decided[-1].accounts
    assert account.debits_pending == 0


@pytest.mark.parametrize("path", ["cancel claim elsewhere", "expire claim elsewhere"])
def test_what_was_captured_there_meanwhile_is_posted_and_the_rest_given_back(path: str) -> None:
    """A cancel or an expiry that comes too late ends in a payment of what was taken."""
    scene = scene_of("authorized")
    scene.play(path)
    (event,), (account,) = scene.desk.decided[-1].events, scene.desk.decided[-1].accounts
    assert event.type is EventType.PAYMENT_CAPTURED_ELSEWHERE
    assert (event.payment.status, event.payment.captured_minor) == (PaymentStatus.COMPLETED, 2_000)
    assert (account.balance, account.available) == (98_000, 98_000)
    assert scene.payment.provider_reference == "pi_2"


@pytest.mark.parametrize("order", [*permutations(("capture", "cancel", "expire"))])
def test_whoever_is_first_at_an_authorization_has_it(order: tuple[str, ...]) -> None:
    """A capture, a cancel and the expiry in any order: one wins, the others change nothing."""
    scene = scene_of("authorized")
    outcomes = [scene.desk.ask(scene.command(rival)) for rival in order]
    changes = [isinstance(each, Decision) and bool(each.payments) for each in outcomes]
    assert changes == [True, False, False]


def test_why_it_was_given_back_outlives_the_troubles_of_its_void() -> None:
    """What the provider said of the void is in its letter, for whom it concerns."""
    scene = scene_of("expired")
    scene.play("claim retriable wake claim retriable")
    assert scene.payment.status is PaymentStatus.REVIEW
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
    scene.play("retriable expire claim succeeded")
    assert scene.payment.status is PaymentStatus.CANCELLED


@pytest.mark.parametrize("ending", ["declined", "retriable wake claim retriable"])
def test_a_capture_that_is_refused_leaves_its_authorization(ending: str) -> None:
    """A wrong amount or a bad minute there costs no customer's good authorization."""
    scene = scene_of("capturing")
    scene.play(ending)
    (event,) = scene.desk.decided[-1].events
    assert event.type is EventType.PAYMENT_CAPTURE_FAILED
    assert scene.payment.awaits_capture
    scene.play("capture claim succeeded")
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert scene.payment.last_error_code is None


def test_a_refusal_of_one_capture_says_nothing_of_another_in_doubt() -> None:
    """Told twice, while nobody knows what became of a capture of another amount."""
    scene = scene_of("authorized")
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(2_000))))
    scene.play("claim")
    refused = scene.settled(Declined("card_declined", "no"))
    granted(scene.desk.ask(refused))
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(5_000))))
    scene.play("claim unknown")
    granted(scene.desk.ask(refused))
    assert scene.payment.status is PaymentStatus.UNKNOWN


def test_a_capture_of_what_is_not_held_any_more_fails_and_gives_back() -> None:
    """Nobody holds it: not the provider, and so not we."""
    scene = scene_of("capturing")
    scene.play("released")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.operation is None
    (account,) = scene.desk.decided[-1].accounts
    assert account.debits_pending == 0


def test_what_the_provider_holds_beyond_a_capture_elsewhere_is_to_be_let_go() -> None:
    """Completed with what was taken, it owes a void of the rest, which changes nothing more."""
    scene = scene_of("elsewhere_held")
    assert (scene.payment.status, scene.payment.operation) == (
        PaymentStatus.COMPLETED,
        Operation.VOID,
    )
    scene.play("claim")
    scene.desk.ask(scene.settled(CapturedElsewhere("pi_2", usd(2_000))))
    assert (scene.payment.status, scene.payment.operation) == (PaymentStatus.COMPLETED, None)
    assert scene.payment.captured_minor == 2_000
    assert scene.desk.decided[-1].dead_letters == ()


def observed(scene: Scene) -> Decision:
    """What follows when the provider, looked at because of a notification, holds nothing more."""
    expired = Standing(None, why_released="authorization_expired")
    command = ObservePayment(
        scene.payment_id, said(Reported.NOT_DONE), expired, scene.payment.version
    )
    return granted(scene.desk.ask(command))


def test_what_is_held_beyond_a_capture_elsewhere_is_to_be_let_go_until_it_is() -> None:
    """Told twice, since nobody heard of the commit; and told again by the void that is owed."""
    scene = scene_of("voiding")
    elsewhere = scene.settled(CapturedElsewhere("pi_2", usd(2_000), is_held=True))
    for _ in range(2):
        granted(scene.desk.ask(elsewhere))
        assert (scene.payment.status, scene.payment.operation) == (
            PaymentStatus.COMPLETED,
            Operation.VOID,
        )
    scene.play("claim elsewhere_held")
    assert scene.payment.operation is Operation.VOID
    assert scene.payment.progress.due_at is not None
    scene.play("claim succeeded")
    assert scene.payment.operation is None


def test_what_the_provider_let_go_is_cancelled_and_no_void_is_owed() -> None:
    """The hold is released, nothing is parked, and the notification is taken once."""
    scene = scene_of("authorized")
    decision = observed(scene)
    assert isinstance(decision.result, NotificationTaken)
    assert decision.result.effect is NotificationEffect.RECORDED
    assert [each.effect for each in decision.provider_events] == [NotificationEffect.RECORDED]
    assert scene.payment.status is PaymentStatus.CANCELLED
    assert scene.payment.last_error_code == "authorization_expired"
    assert scene.payment.progress.due_at is None
    assert (decision.work, decision.dead_letters) == ((), ())
    (account,) = decision.accounts
    assert account.debits_pending == 0


def test_a_capture_asked_for_while_the_provider_was_looked_at_decides_itself() -> None:
    """Its own answer will say that there is nothing to capture."""
    scene = scene_of("capturing")
    assert not observed(scene).payments
    scene.play("released")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.progress.due_at is None
