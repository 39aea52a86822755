"""An operator ends a doubt: by what was found, whole, signed, and never against a worker."""

from __future__ import annotations

from uuid import UUID

import pytest

from payments.commands import CapturePayment, DiscardDeadLetter, RedriveDeadLetter
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState
from payments.decision import Decision, RefusalCode, Refused
from payments.money import Money
from payments.operator_action import Action, OperatorAction
from payments.outcome import Declined, Succeeded
from payments.payment import PaymentStatus
from payments.record import replace
from payments.refund import RefundStatus
from payments.resolution import DidNotHappen, Happened, ResolvePayment, ResolveRefund, Verdict
from tests.support.factories import TENANT, usd
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import Scene, scene_of
from tests.support.payments.refund_paths import RefundScene, refund_scene_of

FOUND = Happened(usd(5_000), "pi_9")


def resolve(
    scene: Scene, verdict: Verdict = FOUND, tenant_id: str | None = None
) -> Decision | Refused:
    command = ResolvePayment(scene.payment_id, "ada", "seen in the dashboard", verdict, tenant_id)
    return scene.desk.ask(command)


def resolve_refund(scene: RefundScene, verdict: Verdict) -> Decision | Refused:
    command = ResolveRefund(scene.refund_id, "ada", "seen in the dashboard", verdict)
    return scene.desk.ask(command)


def refused(outcome: Decision | Refused) -> RefusalCode:
    assert isinstance(outcome, Refused)
    return outcome.code


def action_of(decision: Decision) -> OperatorAction:
    (action,) = decision.actions
    return action


def balance(scene: Scene) -> tuple[int, int]:
    """What the payer has, and what of it is free."""
    account = scene.desk.working.accounts[scene.payment.source_account_id]
    return account.credits_posted - account.debits_posted, account.available


def test_what_was_found_to_have_happened_completes_the_payment() -> None:
    """With the reference that was found, and the money moved."""
    scene = scene_of("review")
    granted(resolve(scene))
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert scene.payment.provider_reference == "pi_9"
    assert balance(scene) == (95_000, 95_000)


def test_what_did_not_happen_fails_and_its_hold_is_released() -> None:
    """The client is told that it failed, not what the operator thinks."""
    scene = scene_of("review")
    granted(resolve(scene, DidNotHappen()))
    assert scene.payment.status is PaymentStatus.FAILED
    assert scene.payment.last_error_code == "resolved_failed"
    assert "dashboard" not in (scene.payment.last_error or "")
    assert balance(scene) == (100_000, 100_000)


def test_a_charge_is_named_as_its_provider_names_them() -> None:
    """By it it will be captured and refunded: another name would fail the payment then."""
    scene = scene_of("review")
    scene.desk.references = {"stripe": "pi_.+"}
    wrong = refused(resolve(scene, Happened(usd(5_000), "ch_9")))
    assert wrong is RefusalCode.REFERENCE_MALFORMED
    granted(resolve(scene, Happened(usd(5_000), "pi_9")))
    assert scene.payment.status is PaymentStatus.COMPLETED


@pytest.mark.parametrize("minor", [4_999, 5_001])
def test_a_charge_is_whole_or_not_at_all(minor: int) -> None:
    """Another amount there is another payment, or a break to be mended first."""
    scene = scene_of("review")
    assert refused(resolve(scene, Happened(usd(minor), "pi_9"))) is RefusalCode.AMOUNT_MISMATCH
    assert scene.payment.status is PaymentStatus.REVIEW


@pytest.mark.parametrize("minor", [1_999, 2_001])
def test_a_refund_is_whole_or_not_at_all(minor: int) -> None:
    """As it was promised."""
    scene = refund_scene_of("review")
    outcome = resolve_refund(scene, Happened(usd(minor), "re_9"))
    assert refused(outcome) is RefusalCode.AMOUNT_MISMATCH
    assert scene.refund.status is RefundStatus.REVIEW


@pytest.mark.parametrize("minor", [1, 3_000, 5_000])
def test_of_a_capture_what_was_found_is_posted_and_the_rest_released(minor: int) -> None:
    """Whatever was asked for: the provider may have taken less, or all."""
    scene = scene_of("authorized")
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(4_000))))
    scene.play("claim unknown")
    granted(resolve(scene, Happened(usd(minor), "pi_9")))
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert scene.payment.captured_minor == minor
    assert balance(scene) == (100_000 - minor, 100_000 - minor)


@pytest.mark.parametrize("minor", [0, 5_001])
def test_no_capture_is_of_nothing_or_of_more_than_was_authorized(minor: int) -> None:
    """The hold is all there is to post."""
    scene = scene_of("capture_unknown")
    assert refused(resolve(scene, Happened(usd(minor), "pi_9"))) is RefusalCode.AMOUNT_MISMATCH


def test_what_was_found_in_another_currency_was_not_this_payment() -> None:
    """A hundred yen are no dollar."""
    scene = scene_of("review")
    verdict = Happened(Money(5_000, "JPY"), "pi_9")
    assert refused(resolve(scene, verdict)) is RefusalCode.CURRENCY_MISMATCH


@pytest.mark.parametrize("situation", ["processing", "retrying", "completed", "authorized"])
def test_only_a_doubt_can_be_resolved(situation: str) -> None:
    """Who is refused is told where the payment stands."""
    scene = scene_of(situation)
    outcome = resolve(scene)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.PAYMENT_NOT_RESOLVABLE
    assert outcome.present == scene.payment


def test_a_verdict_waits_for_a_worker_that_may_be_bringing_the_answer() -> None:
    """Until its lease has run out; then the attempt is recorded as given up."""
    scene = scene_of("reviewing")
    outcome = resolve(scene)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.ATTEMPT_IN_FLIGHT
    assert "try again in a moment" in outcome.detail
    due_at = scene.payment.progress.due_at
    assert due_at is not None
    scene.desk.now = due_at
    (result,) = granted(resolve(scene)).attempt_results
    assert result.outcome == "lease_expired"
    assert result.attempt.id == scene.desk.attempts_of(scene.payment)[-1].id


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (DidNotHappen(), "charge succeeded after all, as pi_late"),
        (FOUND, "charge succeeded as pi_9 and pi_late"),
    ],
)
def test_a_late_answer_that_says_otherwise_is_a_contradiction(verdict: Verdict, error: str) -> None:
    """The operator's word stands, no money moves, and somebody must look again."""
    scene = scene_of("reviewing")
    late = scene.settled(Succeeded("pi_late"))
    scene.play("wake")
    granted(resolve(scene, verdict))
    before = scene.payment
    decision = granted(scene.desk.ask(late))
    (letter,) = decision.dead_letters
    assert (letter.reason, letter.error) == (DeadLetterReason.CONTRADICTION, error)
    assert (decision.payments, decision.transfers) == ((), ())
    assert scene.payment == before


@pytest.mark.parametrize("path", ["", "claim", "claim unknown"])
def test_a_late_capture_is_none_of_the_amount_that_was_asked_for_since(path: str) -> None:
    """Whatever that one has come to: it is told, and the books do not take one for the other."""
    scene = scene_of("authorized")
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(2_000))))
    scene.play("claim")
    late = scene.settled(Succeeded("pi_1"))
    scene.play("wake")
    granted(resolve(scene, DidNotHappen()))
    granted(scene.desk.ask(CapturePayment(TENANT, scene.payment_id, usd(5_000))))
    scene.play(path)
    before = scene.payment
    decision = granted(scene.desk.ask(late))
    (letter,) = decision.dead_letters
    assert letter.reason is DeadLetterReason.CONTRADICTION
    assert letter.error == "capture succeeded after all, as pi_1"
    assert decision.transfers == ()
    assert scene.payment == before


def test_a_late_answer_about_a_refund_that_says_otherwise_is_a_contradiction() -> None:
    """As for a payment."""
    scene = refund_scene_of("reviewing")
    late = scene.settled(Succeeded("re_late"))
    granted(scene.desk.ask(scene.command("wake")))
    granted(resolve_refund(scene, DidNotHappen()))
    (letter,) = granted(scene.desk.ask(late)).dead_letters
    assert letter.error == "refund succeeded after all, as re_late"


@pytest.mark.parametrize("outcome", [Succeeded("pi_9"), Declined("card_declined", "no")])
def test_a_late_answer_that_agrees_or_did_nothing_is_no_letter(
    outcome: Succeeded | Declined,
) -> None:
    """A decline says what that attempt did, not what an earlier one had done."""
    scene = scene_of("reviewing")
    late = scene.settled(outcome)
    scene.play("wake")
    granted(resolve(scene))
    assert granted(scene.desk.ask(late)).dead_letters == ()


def test_a_tenants_operator_resolves_what_is_theirs_and_the_console_anything() -> None:
    """What belongs to others is not there."""
    scene, refunding = scene_of("review"), refund_scene_of("review")
    assert refused(resolve(scene, tenant_id="other")) is RefusalCode.PAYMENT_NOT_FOUND
    granted(resolve(scene, tenant_id=TENANT))
    command = ResolveRefund(refunding.refund_id, "ada", "x", DidNotHappen(), "other")
    assert refused(refunding.desk.ask(command)) is RefusalCode.REFUND_NOT_FOUND


def test_the_letters_that_asked_for_it_are_closed_by_the_same_hand_and_no_others() -> None:
    """No alarm stays for what was found out; a contradiction is another matter."""
    scene = scene_of("review")
    other = scene.desk.letter_about(scene.payment)
    (closed,) = granted(resolve(scene)).dead_letters
    assert closed.reason is DeadLetterReason.OUTCOME_UNRESOLVED
    assert closed.state is DeadLetterState.DISCARDED
    assert (closed.resolved_by, closed.resolution) == ("ada", "seen in the dashboard")
    assert scene.desk.working.dead_letters[other].state is DeadLetterState.PARKED


def test_a_verdict_on_a_refund_leaves_its_payments_letters() -> None:
    """Another doubt about the same payment stays one."""
    scene = refund_scene_of("review")
    letters = scene.desk.working.dead_letters
    (unresolved,) = letters.values()
    other = _about_payment(unresolved)
    letters[other.id] = other
    (closed,) = granted(resolve_refund(scene, DidNotHappen())).dead_letters
    assert closed.id == unresolved.id


def _about_payment(letter: DeadLetter) -> DeadLetter:
    return replace(letter, id=UUID(int=7), refund_id=None)


def test_who_resolved_what_and_why_is_recorded() -> None:
    """With what was found, and what it was before."""
    scene = scene_of("review")
    (letter,) = scene.desk.working.dead_letters
    action = action_of(granted(resolve(scene)))
    assert (action.action, action.actor, action.reason) == (
        Action.RESOLVE,
        "ada",
        "seen in the dashboard",
    )
    assert (action.tenant_id, action.payment_id, action.refund_id) == (
        TENANT,
        scene.payment_id,
        None,
    )
    assert action.detail == {
        "status_before": "review",
        "operation": "charge",
        "outcome": "succeeded",
        "amount_minor": 5_000,
        "currency": "USD",
        "provider_reference": "pi_9",
        "dead_letters": [str(letter)],
    }


def test_who_redrove_or_discarded_a_letter_is_recorded_too() -> None:
    """One place for all that operators do."""
    scene = scene_of("review")
    (letter,) = scene.desk.working.dead_letters
    redriven = action_of(granted(scene.desk.ask(RedriveDeadLetter(letter, "ada", "again"))))
    other = scene.desk.letter_about(scene.payment)
    discarded = action_of(granted(scene.desk.ask(DiscardDeadLetter(other, "bob", "noise"))))
    assert (redriven.action, redriven.actor) == (Action.REDRIVE, "ada")
    assert (discarded.action, discarded.reason) == (Action.DISCARD, "noise")
    assert redriven.payment_id == discarded.payment_id == scene.payment_id
    assert redriven.detail["dead_letter"] == str(letter)
    assert redriven.detail["parked_for"] == "outcome_unresolved"
