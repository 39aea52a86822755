"""The hard stories of a payment: zombies, late answers, open circuits, redriven letters."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from payments.account import AccountStatus
from payments.commands import CapturePayment, ClaimPayment, RedriveDeadLetter, WakePayment
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState
from payments.decision import Claimed, Decision, RefusalCode, Refused
from payments.events import EventType
from payments.money import Money
from payments.outcome import (
    Declined,
    Deferred,
    Outcome,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.payment import PaymentStatus
from payments.progress import Policy
from payments.record import replace
from tests.support.factories import TENANT, usd
from tests.support.payments.desk import Desk, granted
from tests.support.payments.payment_paths import Scene, scene_of
from tests.support.payments.refund_paths import refund_scene_of


def available(scene: Scene) -> int:
    return scene.desk.working.accounts[scene.payment.source_account_id].available


def status(scene: Scene) -> PaymentStatus:
    return scene.payment.status


def letter_of(decision: Decision) -> DeadLetter:
    (letter,) = decision.dead_letters
    return letter


def redrive(scene: Scene, letter: DeadLetter) -> Decision | Refused:
    return scene.desk.ask(RedriveDeadLetter(letter.id, "ada", "asked the provider"))


def test_an_unknown_outcome_keeps_the_hold() -> None:
    """As long as nobody knows, the money is neither spent nor free."""
    assert available(scene_of("unknown")) == 95_000
    assert available(scene_of("review")) == 95_000
    assert available(scene_of("failed")) == 100_000


def test_a_worker_that_lost_its_lease_may_still_bring_certainty() -> None:
    """Its success completes the payment, and its successor's answer then changes nothing."""
    scene = scene_of("processing")
    zombie = scene.settled(Succeeded("pi_zombie"))
    scene.play("wake claim")
    assert status(scene) is PaymentStatus.UNKNOWN
    scene.desk.ask(zombie)
    assert scene.payment.status is PaymentStatus.COMPLETED
    before = scene.payment
    successor = granted(scene.desk.ask(scene.settled(Succeeded("pi_zombie"))))
    assert (successor.payments, successor.transfers) == ((), ())
    assert scene.payment == before


def test_a_silent_worker_is_given_up_when_its_lease_ends() -> None:
    """The payment is due at the end of the lease, and woken then, not a moment sooner."""
    scene = scene_of("processing")
    due_at = scene.payment.progress.due_at
    assert due_at is not None
    assert (due_at - scene.desk.now).total_seconds() == scene.desk.policy.lease_s
    assert isinstance(scene.desk.ask(WakePayment(scene.payment_id)), Refused)
    scene.play("wake")
    assert status(scene) is PaymentStatus.UNKNOWN


def test_an_inquiry_follows_a_lost_lease() -> None:
    """Nothing is charged again before the provider was asked what became of the first try."""
    scene = scene_of("processing")
    scene.play("wake claim")
    first, second = scene.desk.attempts_of(scene.payment)
    assert (first.inquiry, second.inquiry) == (False, True)
    assert first.provider_key == second.provider_key


def test_every_try_carries_the_key_of_the_first() -> None:
    """Over retries, inquiries and a redrive the provider sees one idempotency key."""
    scene = scene_of("redriven")
    scene.play("claim retriable wake claim unknown wake claim")
    keys = {each.provider_key for each in scene.desk.attempts_of(scene.payment)}
    assert keys == {f"charge-{scene.payment_id}"}


def test_success_after_failure_is_a_contradiction_somebody_must_see() -> None:
    """The payment stays failed, the reference is in the letter, no money moves by itself."""
    scene = scene_of("processing")
    zombie = scene.settled(Succeeded("pi_late"))
    scene.play("wake claim declined")
    decision = granted(scene.desk.ask(zombie))
    letter = letter_of(decision)
    assert letter.reason is DeadLetterReason.CONTRADICTION
    assert "pi_late" in letter.error
    assert (decision.payments, decision.transfers) == ((), ())
    assert scene.payment.status is PaymentStatus.FAILED


def test_a_second_success_of_a_payment_is_told_with_both_references() -> None:
    """Two workers, two charges there and one here: nothing moves, somebody must see it."""
    scene = scene_of("processing")
    zombie = scene.settled(Succeeded("pi_2"))
    scene.play("wake claim succeeded")
    decision = granted(scene.desk.ask(zombie))
    letter = letter_of(decision)
    assert letter.reason is DeadLetterReason.CONTRADICTION
    assert letter.error == "charge succeeded as pi_1 and pi_2"
    assert (decision.payments, decision.transfers) == ((), ())


def test_a_second_success_of_a_refund_is_told_with_both_references() -> None:
    """As for a payment: what was given back twice must not be forgotten."""
    scene = refund_scene_of("processing")
    granted(scene.desk.ask(scene.settled(Succeeded("re_1"))))
    letter = letter_of(granted(scene.desk.ask(scene.settled(Succeeded("re_2")))))
    assert letter.error == "refund succeeded as re_1 and re_2"


def test_what_nobody_can_tell_any_more_is_left_to_a_person_at_once() -> None:
    """Past the provider's memory of keys no number of questions will help."""
    scene = scene_of("processing")
    outcome = Unresolvable("key_window_passed", "found nothing")
    letter = letter_of(granted(scene.desk.ask(scene.settled(outcome))))
    assert letter.error == "key_window_passed: found nothing"
    assert status(scene) is PaymentStatus.REVIEW
    assert available(scene) == 95_000


def test_what_never_reached_the_provider_costs_no_try() -> None:
    """Refused credentials, a limited rate, no connection: it waits, says for what, and goes on."""
    lack = Retriable("unauthorized", "the provider refused our credentials", is_asked=False)
    scene = scene_of("processing")
    waits = []
    for _ in range(10):
        granted(scene.desk.ask(scene.settled(lack)))
        assert scene.payment.progress.due_at is not None
        waits.append((scene.payment.progress.due_at - scene.desk.now).total_seconds())
        scene.play("wake claim")
    assert waits == [1, 2, 4, 8, 16, *[30] * 5]
    assert scene.payment.progress.retry_count == 0
    assert scene.payment.last_error_code == "unauthorized"
    scene.play("succeeded")
    assert status(scene) is PaymentStatus.COMPLETED
    assert scene.payment.last_error_code is None


def test_what_never_reached_the_provider_can_still_be_cancelled() -> None:
    """Nobody there knows of it; once somebody may, it cannot."""
    scene = scene_of("processing")
    assert isinstance(scene.desk.ask(scene.command("cancel")), Refused)
    lack = Retriable("not_sent", "no connection", is_asked=False)
    granted(scene.desk.ask(replace(scene.settled(lack), is_first=True)))
    scene.play("cancel")
    assert status(scene) is PaymentStatus.CANCELLED
    assert available(scene) == 100_000


def test_an_inquiry_that_never_reached_the_provider_is_none() -> None:
    """It says nothing of the payment, and brings it no nearer to a person's review."""
    scene = scene_of("inquiring")
    before = scene.payment.progress.inquiry_count
    lack = Retriable("rate_limited", "too many requests", 7.0, is_asked=False)
    granted(scene.desk.ask(scene.settled(lack)))
    assert status(scene) is PaymentStatus.UNKNOWN
    assert scene.payment.progress.inquiry_count == before


def test_redriving_checks_the_account_as_any_payment_does() -> None:
    """Frozen in the meantime, or worn out: refused, and the letter stays parked."""
    for change in (
        {"status": AccountStatus.FROZEN},
        {"debits_posted": 10**18, "credits_posted": 2 * 10**18},
    ):
        scene = scene_of("last_try")
        letter = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
        accounts = scene.desk.working.accounts
        payer = accounts[scene.payment.source_account_id]
        accounts[payer.id] = replace(payer, **change)
        assert isinstance(redrive(scene, letter), Refused)
        assert scene.desk.working.dead_letters[letter.id].state is DeadLetterState.PARKED


def test_no_version_of_a_payment_is_dated_before_the_one_before() -> None:
    """A host whose clock is behind decides later all the same."""
    scene = scene_of("processing")
    before = scene.payment.updated_at
    scene.desk.now = before - timedelta(seconds=2)
    granted(scene.desk.ask(scene.settled(Succeeded("pi_1"))))
    assert scene.payment.updated_at == scene.payment.completed_at == before


def test_what_a_release_before_claimed_is_asked_after() -> None:
    """It kept no time of its first attempt: the next one asks, as of the payment's making."""
    for path in ("processing", "unknown", "redriven"):
        scene = scene_of(path)
        forgotten = replace(scene.payment.progress, first_asked_at=None)
        payment = replace(scene.payment, progress=forgotten, asked_operation=None)
        scene.desk.working.payments[payment.id] = payment
        scene.play("wake claim")
        assert scene.desk.attempts_of(scene.payment)[-1].inquiry
        assert scene.payment.progress.first_asked_at == payment.created_at


def test_a_refund_in_doubt_is_asked_after_whatever_is_recorded() -> None:
    """Nobody knows when it was asked for first, only that somebody may have."""
    scene = refund_scene_of("unknown")
    forgotten = replace(scene.refund, progress=replace(scene.refund.progress, first_asked_at=None))
    scene.desk.working.refunds[forgotten.id] = forgotten
    granted(scene.desk.ask(scene.command("wake")))
    granted(scene.desk.ask(scene.command("claim")))
    assert scene.desk.attempts_of(scene.refund)[-1].inquiry


@pytest.mark.parametrize("outcome", [Retriable("missing", "gone"), Unknown("timeout", "silence")])
def test_a_question_that_was_not_answered_decides_nothing(outcome: Outcome) -> None:
    """It burns no try and releases no hold; asked as often as allowed, it is a person's."""
    scene = scene_of("redriven")
    scene.play("claim")
    asked = replace(scene.settled(outcome), is_of_inquiry=True)
    granted(scene.desk.ask(asked))
    assert scene.payment.status is PaymentStatus.PROCESSING
    assert (scene.payment.progress.retry_count, scene.payment.progress.inquiry_count) == (0, 1)
    scene.play("wake claim")
    asked = replace(scene.settled(outcome), is_of_inquiry=True)
    letter = letter_of(granted(scene.desk.ask(asked)))
    assert letter.reason is DeadLetterReason.OUTCOME_UNRESOLVED
    assert status(scene) is PaymentStatus.REVIEW
    assert available(scene) == 95_000


def test_a_redrive_in_review_that_learns_nothing_leaves_a_letter_again() -> None:
    """The first letter was closed by the redrive; nothing in review is without one."""
    for scene in (scene_of("review"), refund_scene_of("review")):
        letters = scene.desk.working.dead_letters.values()
        (first,) = letters
        granted(scene.desk.ask(RedriveDeadLetter(first.id, "ada", "look again")))
        granted(scene.desk.ask(scene.command("claim")))
        granted(scene.desk.ask(scene.settled(Unknown("timeout", "no answer"))))
        assert [each.state for each in letters] == [
            DeadLetterState.REDRIVEN,
            DeadLetterState.PARKED,
        ]
        for _ in "12":
            granted(scene.desk.ask(scene.command("wake")))
            granted(scene.desk.ask(scene.command("claim")))
            granted(scene.desk.ask(scene.settled(Unknown("timeout", "no answer"))))
        assert len(letters) == 2


def test_a_void_is_made_again_and_not_asked_after() -> None:
    """Made twice it is made once, so that a question would only cost its tries."""
    scene = scene_of("voiding")
    scene.play("retriable wake claim")
    assert not scene.desk.attempts_of(scene.payment)[-1].inquiry


def test_a_late_refusal_does_not_speak_for_the_attempt_in_flight() -> None:
    """Its successor may be charging now: the hold stays until that one has answered."""
    scene = scene_of("processing")
    zombie = scene.settled(Declined("card_declined", "no"))
    scene.play("wake claim")
    assert granted(scene.desk.ask(zombie)).payments == ()
    assert available(scene) == 95_000
    scene.play("succeeded")
    assert status(scene) is PaymentStatus.COMPLETED


def test_a_refusal_told_twice_says_nothing_of_the_next_capture() -> None:
    """Its commit's answer was lost, and the client has asked again before it is repeated."""
    scene = scene_of("authorized")
    scene.play("capture claim")
    told = scene.settled(Declined("card_declined", "no"))
    granted(scene.desk.ask(told))
    assert status(scene) is PaymentStatus.AUTHORIZED
    scene.play("capture")
    assert granted(scene.desk.ask(told)).payments == ()
    scene.play("claim succeeded")
    assert status(scene) is PaymentStatus.COMPLETED


def test_a_claim_that_nobody_heard_of_is_a_claim_still() -> None:
    """Asked for again under its own id, and under no other; and then it asks its provider first."""
    scene = scene_of("pending")
    claim = ClaimPayment(scene.payment_id, 1, "worker", uuid4())
    granted(scene.desk.ask(claim))
    for other in (None, uuid4()):
        refused = scene.desk.ask(ClaimPayment(scene.payment_id, 1, "worker", other))
        assert isinstance(refused, Refused)
    before, decision = scene.payment, granted(scene.desk.ask(claim))
    assert scene.payment == before
    assert decision.attempts == ()
    assert isinstance(decision.result, Claimed)
    assert decision.result.attempt.id == claim.claim_id
    assert decision.result.attempt.inquiry


def test_two_foreign_successes_are_two_letters() -> None:
    """Each names its reference; neither is taken for a repetition of the other."""
    scene = scene_of("completed")
    letters = {
        letter_of(granted(scene.desk.ask(scene.settled(Succeeded(reference))))).id
        for reference in ("pi_2", "pi_3", "pi_2")
    }
    assert len(letters) == 2


def test_redriving_a_contradiction_completes_the_payment() -> None:
    """With a new hold and the old key, the provider answers what it answered before."""
    scene = scene_of("processing")
    zombie = scene.settled(Succeeded("pi_late"))
    scene.play("wake claim declined")
    granted(redrive(scene, letter_of(granted(scene.desk.ask(zombie)))))
    scene.play("claim succeeded")
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert available(scene) == 95_000


def test_money_captured_for_a_payment_that_is_not_is_a_contradiction() -> None:
    """A capture said to be without effect that had one is found by its late success."""
    scene = scene_of("last_capture")
    late = scene.settled(Succeeded("pi_1"))
    scene.play("retriable")
    assert scene.payment.status is PaymentStatus.AUTHORIZED
    assert letter_of(granted(scene.desk.ask(late))).reason is DeadLetterReason.CONTRADICTION


def test_redriving_an_exhausted_payment_takes_a_new_hold() -> None:
    """The old hold is gone; the new one has another id and fresh retries."""
    scene = scene_of("last_try")
    letter = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    before = scene.payment
    assert (before.status, available(scene)) == (PaymentStatus.FAILED, 100_000)
    decision = granted(redrive(scene, letter))
    assert scene.payment.status is PaymentStatus.PENDING
    assert scene.payment.hold_id != before.hold_id
    assert (scene.payment.progress.retry_count, available(scene)) == (0, 95_000)
    assert [each.type for each in decision.events] == [EventType.PAYMENT_REDRIVEN]
    assert decision.work[0].attempt == before.progress.attempt_count + 1
    closed = letter_of(decision)
    assert (closed.state, closed.resolved_by) == (DeadLetterState.REDRIVEN, "ada")
    assert (closed.resolution, closed.version) == ("asked the provider", 2)


def test_a_redriven_payment_that_fails_again_gets_a_letter_of_its_own() -> None:
    """Each time it is given up there is something to find."""
    scene = scene_of("last_try")
    first = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    granted(redrive(scene, first))
    scene.play("claim retriable wake claim")
    second = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    assert second.id != first.id


def test_a_redrive_needs_the_money_to_be_there_still() -> None:
    """Spent in the meantime: refused, and the letter stays parked."""
    scene = scene_of("last_try")
    letter = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    accounts = scene.desk.working.accounts
    source = accounts[scene.payment.source_account_id]
    accounts[source.id] = replace(source, debits_posted=100_000)
    outcome = redrive(scene, letter)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.INSUFFICIENT_FUNDS
    assert scene.desk.working.dead_letters[letter.id].state is DeadLetterState.PARKED


def test_a_letter_is_redriven_once() -> None:
    """The second operator is told who was first."""
    scene = scene_of("last_try")
    letter = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    granted(redrive(scene, letter))
    again = redrive(scene, letter)
    assert isinstance(again, Refused)
    assert again.code is RefusalCode.DEAD_LETTER_NOT_PARKED
    assert "ada" in again.detail


def test_a_void_that_was_given_up_can_be_redriven() -> None:
    """It is in review while the provider is told again to let go, and cancelled once it has."""
    scene = scene_of("last_void")
    letter = letter_of(granted(scene.desk.ask(scene.command("retriable"))))
    granted(redrive(scene, letter))
    assert scene.payment.status is PaymentStatus.REVIEW
    scene.play("claim succeeded")
    assert (scene.payment.status, scene.payment.operation) == (PaymentStatus.CANCELLED, None)


def test_an_open_circuit_burns_nothing() -> None:
    """However often it is deferred, no retry is counted, no letter written, no hold released."""
    scene = scene_of("processing")
    for _ in range(50):
        scene.play("deferred")
        assert scene.payment.status is PaymentStatus.PROCESSING
        scene.play("wake claim")
    progress = scene.payment.progress
    assert (progress.retry_count, progress.inquiry_count, progress.attempt_count) == (0, 0, 51)
    assert available(scene) == 95_000


def test_a_deferred_payment_waits_as_long_as_it_was_told() -> None:
    """At least the breaker's time, at most a quarter more."""
    scene = scene_of("processing")
    scene.desk.jitter = 0.999
    scene.desk.ask(scene.settled(Deferred("circuit_open", 30.0)))
    due_at = scene.payment.progress.due_at
    assert due_at is not None
    assert timedelta(seconds=30) <= due_at - scene.desk.now <= timedelta(seconds=37.5)


@pytest.mark.parametrize(
    ("wish_s", "waited_s"), [(None, 1), (0.0, 1), (7.0, 7), (30.0, 30), (86_400.0, 30)]
)
def test_a_provider_may_ask_for_more_time(wish_s: float | None, waited_s: int) -> None:
    """Its Retry-After counts when it is longer than the back-off, up to five minutes."""
    scene = scene_of("processing")
    scene.desk.ask(scene.settled(Retriable("rate_limited", "later", wish_s)))
    assert scene.payment.progress.due_at == scene.desk.now + timedelta(seconds=waited_s)


def test_the_default_policy_tries_five_times() -> None:
    """Four retries after the first attempt, then failed with a letter."""
    scene = scene_of("pending")
    desk = scene.desk
    desk.policy = Policy()
    progress = replace(scene.payment.progress, max_retries=desk.policy.max_retries)
    desk.working.payments[scene.payment_id] = replace(scene.payment, progress=progress)
    scene.play("claim" + " retriable wake claim" * 4)
    assert status(scene) is PaymentStatus.PROCESSING
    scene.play("retriable")
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.progress.attempt_count == 5


@pytest.mark.parametrize("minor", [1, 2_500, 5_000])
def test_a_partial_capture_releases_the_rest(minor: int) -> None:
    """Only what was captured leaves the account, and only that can be refunded."""
    scene = scene_of("authorized")
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(minor))))
    scene.play("claim succeeded")
    assert (scene.payment.captured_minor, scene.payment.refundable_minor) == (minor, minor)
    assert available(scene) == 100_000 - minor


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (usd(5_001), RefusalCode.CAPTURE_EXCEEDS_AUTHORIZATION),
        (Money(1, "EUR"), RefusalCode.CURRENCY_MISMATCH),
    ],
)
def test_a_capture_stays_within_its_authorization(amount: Money, code: RefusalCode) -> None:
    """Neither more nor in another currency."""
    scene = scene_of("authorized")
    outcome = scene.desk.ask(CapturePayment(TENANT, scene.payment_id, amount))
    assert isinstance(outcome, Refused)
    assert outcome.code is code


def test_captures_of_different_amounts_have_different_keys() -> None:
    """A second capture, of less, is not answered with the first one's outcome."""
    scene = scene_of("last_capture")
    scene.play("retriable")
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(100))))
    scene.play("claim")
    keys = [each.provider_key for each in scene.desk.attempts_of(scene.payment)]
    assert keys[-1] != keys[-2]


def test_a_desk_starts_with_nothing() -> None:
    """An unknown payment is refused by every command, and nothing raises."""
    scene, empty = scene_of("processing"), Desk()
    for name in ("claim", "succeeded", "late_declined", "cancel", "capture", "refund", "wake"):
        outcome = empty.ask(scene.command(name))
        assert isinstance(outcome, Refused)
        assert outcome.code is RefusalCode.PAYMENT_NOT_FOUND
