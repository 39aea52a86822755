"""Hints: what they hasten, what they may not decide, and what a provider's answer makes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import (
    NotifyPayment,
    NotifyRefund,
    ObservePayment,
    SettlePayment,
    WakePayment,
)
from payments.decision import Decision, Refused
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import Succeeded
from payments.payment import PaymentStatus, Provider
from payments.record import replace
from tests.support.factories import SOURCE, said
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import POLICY, STANDINGS, Scene, scene_of
from tests.support.payments.refund_paths import refund_scene_of

if TYPE_CHECKING:
    from payments.outcome import NotFound, Unknown
    from payments.standing import Standing

PATIENCE: Final = timedelta(seconds=POLICY.notification_patience_s)


def effect_of(outcome: Decision | Refused) -> NotificationEffect:
    result = granted(outcome).result
    assert isinstance(result, NotificationTaken)
    return result.effect


def hint(scene: Scene, what: Reported, event_id: str = "evt_1") -> NotificationEffect:
    return effect_of(scene.desk.ask(NotifyPayment(scene.payment_id, said(what, event_id))))


def observe(scene: Scene, found: Standing | NotFound | Unknown) -> Decision:
    return granted(
        scene.desk.ask(
            ObservePayment(scene.payment_id, said(Reported.CHANGED), found, scene.payment.version)
        )
    )


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


@pytest.mark.parametrize(
    ("situation", "what"),
    [
        ("processing", Reported.DONE),
        ("unknown", Reported.DONE),
        ("completed", Reported.CHANGED),
        ("failed", Reported.CHANGED),
    ],
)
def test_an_event_is_taken_once(situation: str, what: Reported) -> None:
    """Delivered again it says nothing, whatever happened to the payment since."""
    scene = scene_of(situation)
    if hint(scene, what) is NotificationEffect.DOUBTED:
        observe(scene, STANDINGS["captured"])
    again = granted(scene.desk.ask(NotifyPayment(scene.payment_id, said(what))))
    assert effect_of(again) is NotificationEffect.DUPLICATE
    assert again == Decision(again.result)


def test_a_doubt_is_not_taken_until_the_provider_has_answered() -> None:
    """Whoever dies while asking has taken nothing: the event is delivered again and asked again."""
    scene = scene_of("failed")
    assert hint(scene, Reported.DONE) is NotificationEffect.DOUBTED
    assert hint(scene, Reported.DONE) is NotificationEffect.DOUBTED


@pytest.mark.parametrize(
    ("situation", "what"),
    [
        ("failed", Reported.DONE),
        ("failed", Reported.HELD),
        ("cancelled", Reported.DONE),
        ("completed", Reported.NOT_DONE),
        ("refunded", Reported.NOT_DONE),
        ("authorized", Reported.NOT_DONE),
        ("authorized", Reported.DONE),
        ("voided", Reported.DONE),
        ("completed", Reported.CHANGED),
    ],
)
def test_what_is_doubted_is_looked_at_by_its_name_there(situation: str, what: Reported) -> None:
    """The one that we know, or the one that the event gives."""
    result = granted(
        (scene := scene_of(situation)).desk.ask(NotifyPayment(scene.payment_id, said(what)))
    ).result
    assert isinstance(result, NotificationTaken)
    assert (result.effect, result.references) == (NotificationEffect.DOUBTED, ("pi_1",))


def test_an_event_about_a_second_charge_has_both_looked_at() -> None:
    """Of a payment that is completed already: money may have been taken twice."""
    scene = scene_of("completed")
    event = replace(said(Reported.DONE), reference="pi_2")
    result = granted(scene.desk.ask(NotifyPayment(scene.payment_id, event))).result
    assert isinstance(result, NotificationTaken)
    assert result.references == ("pi_1", "pi_2")


def test_a_payment_redriven_while_the_provider_was_asked_is_left_to_its_worker() -> None:
    """The answer is about an earlier life of it: it is looked at again when that has ended."""
    scene = scene_of("redriven")
    decision = observe(scene, STANDINGS["captured"])
    assert effect_of(decision) is NotificationEffect.DOUBTED
    assert decision == Decision(decision.result)


@pytest.mark.parametrize("situation", ["processing", "unknown", "retrying", "voiding"])
def test_a_change_is_not_taken_while_somebody_works_on_the_payment(situation: str) -> None:
    """Who asks after the charge asks for no refund: it is told again, and then looked at."""
    scene = scene_of(situation)
    for _ in range(2):
        decision = granted(scene.desk.ask(NotifyPayment(scene.payment_id, said(Reported.CHANGED))))
        assert effect_of(decision) is NotificationEffect.DOUBTED
        assert decision.provider_events == ()


def test_a_look_that_is_older_than_the_payment_says_nothing() -> None:
    """It went on meanwhile: what was seen then would undo what is known now."""
    scene = scene_of("completed")
    command = ObservePayment(
        scene.payment_id, said(Reported.CHANGED), STANDINGS["refunded"], scene.payment.version - 1
    )
    decision = granted(scene.desk.ask(command))
    assert effect_of(decision) is NotificationEffect.DOUBTED
    assert decision == Decision(decision.result)


def test_the_letter_names_the_event_and_holds_nothing_else_of_it() -> None:
    """A notification may carry what must not be published; the provider shows it under its id."""
    scene = scene_of("failed")
    (letter,) = observe(scene, STANDINGS["captured"]).dead_letters
    assert letter.source.value == (
        b'{"event_id": "evt_1", "event_type": "test.changed", "reference": "pi_1"}'
    )
    assert letter.error == (
        "failed here, but stripe, looked at because of test.changed evt_1, shows: it was captured "
        "after all: 50.00 USD as pi_1"
    )


def test_another_provider_s_event_is_none_of_ours() -> None:
    """A payment id in a foreign notification opens nothing."""
    scene = scene_of("unknown")
    event = said(Reported.DONE, provider=Provider("paypal"))
    assert isinstance(scene.desk.ask(NotifyPayment(scene.payment_id, event)), Refused)


@pytest.mark.parametrize(
    ("situation", "what"),
    [
        ("completed", Reported.NOT_DONE),
        ("completed", Reported.CHANGED),
        ("failed", Reported.DONE),
    ],
)
def test_a_closed_refund_has_its_payment_looked_at(situation: str, what: Reported) -> None:
    """One the bank sent back days later is found, and so is one that went through after all."""
    scene = refund_scene_of(situation)
    result = granted(scene.desk.ask(NotifyRefund(scene.refund_id, said(what)))).result
    assert isinstance(result, NotificationTaken)
    assert result.effect is NotificationEffect.DOUBTED
    assert result.references == ("pi_1",)


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
