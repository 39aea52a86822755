"""What was done at a provider without us is recorded, published and moved; the rest is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from payments.account import clearing, disputed, receivables
from payments.commands import ObservePayment, RefundPayment
from payments.dead_letter import DeadLetterReason
from payments.decision import RefusalCode, Refused
from payments.events import EventType
from payments.ids import dispute_id, found_refund_id
from payments.ledger import TransactionType
from payments.money import Money
from payments.notification import Reported
from payments.payment import PaymentStatus
from payments.record import replace
from payments.refund import RefundOrigin, RefundStatus
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)
from tests.support.factories import TENANT, pay, said, usd
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import scene_of
from tests.support.payments.refund_paths import refund_scene_of

if TYPE_CHECKING:
    from payments.decision import Decision
    from tests.support.payments.payment_paths import Scene
    from tests.support.payments.refund_paths import RefundScene

CHARGED: Final = Standing(None, captures=(FoundCapture("pi_1", usd(5_000)),))
OPENED: Final = FoundDispute(
    "dp_1", DisputeKind.DISPUTE, usd(5_000), DisputeState.OPEN, is_withdrawn=True, reason="fraud"
)
COLLECTED: Final = clearing(TENANT, "stripe", "USD").id
TAKEN: Final = disputed(TENANT, "stripe", "USD").id


def refunded_there(
    minor: int, state: FoundState = FoundState.SUCCEEDED, name: str = "re_9"
) -> Standing:
    return replace(CHARGED, refunds=(FoundRefund(name, usd(minor), state),))


def disputing(**changes: object) -> Standing:
    return replace(CHARGED, disputes=(replace(OPENED, **changes),))  # type: ignore[arg-type] # its own fields


def observe(scene: Scene | RefundScene, found: Standing, event: str = "evt_1") -> Decision:
    command = ObservePayment(
        scene.payment.id, said(Reported.CHANGED, event), found, scene.payment.version
    )
    return granted(scene.desk.ask(command))


def moves(decision: Decision) -> list[tuple[object, object, int]]:
    return [
        (each.debit_account_id, each.credit_account_id, each.entry.amount_minor)
        for each in decision.transfers
    ]


def test_a_refund_made_there_is_a_refund_here() -> None:
    """Published like ours, and what it gave back cannot be given back again."""
    scene = scene_of("completed")
    decision = observe(scene, refunded_there(3_000))
    (refund,) = decision.refunds
    assert (refund.id, refund.origin) == (found_refund_id("stripe", "re_9"), RefundOrigin.PROVIDER)
    assert (refund.status, refund.version) == (RefundStatus.COMPLETED, 1)
    assert [each.type for each in decision.events] == [EventType.REFUND_COMPLETED]
    assert scene.payment.status is PaymentStatus.PARTIALLY_REFUNDED
    assert scene.payment.refundable_minor == 2_000
    asked = scene.desk.ask(RefundPayment(TENANT, scene.payment_id, usd(2_001)))
    assert isinstance(asked, Refused)
    assert asked.code is RefusalCode.REFUND_EXCEEDS_PAYMENT
    assert observe(scene, refunded_there(3_000), "evt_2").payments == ()


@pytest.mark.parametrize("state", [FoundState.PENDING, FoundState.FAILED])
def test_a_refund_there_that_moved_no_money_is_none_here(state: FoundState) -> None:
    """It will be told of again when it does."""
    assert observe(scene_of("completed"), refunded_there(3_000, state)).payments == ()


def test_two_refunds_there_are_followed_in_one_look() -> None:
    """Each is an event of its own, and the second sees the first."""
    scene = scene_of("completed")
    both = replace(
        CHARGED,
        refunds=(
            FoundRefund("re_8", usd(2_000), FoundState.SUCCEEDED),
            FoundRefund("re_9", usd(3_000), FoundState.SUCCEEDED),
        ),
    )
    decision = observe(scene, both)
    assert [each.payment.sequence for each in decision.events] == [3, 4]
    assert scene.payment.status is PaymentStatus.REFUNDED


def test_more_than_is_left_is_told_to_a_person() -> None:
    """A refund of ours is on its way: both cannot be right, and nothing is guessed."""
    scene = refund_scene_of("processing")
    decision = observe(scene, refunded_there(4_000))
    (letter,) = decision.dead_letters
    assert letter.reason is DeadLetterReason.CONTRADICTION
    assert "re_9 of 40.00 USD is more than is left to refund" in letter.error
    assert decision.transfers == ()


def bounced(scene: RefundScene) -> Standing:
    found = FoundRefund("pi_1", usd(2_000), FoundState.FAILED, scene.refund_id, "expired_card")
    return replace(CHARGED, refunds=(found,))


def test_a_refund_that_came_back_is_failed_and_can_be_made_again() -> None:
    """The customer's money is where it was before, and everybody is told."""
    scene = refund_scene_of("completed")
    balance = next(iter(scene.desk.working.accounts.values())).balance
    decision = observe(scene, bounced(scene))
    assert [each.type for each in decision.events] == [EventType.REFUND_FAILED]
    assert (scene.refund.status, scene.refund.last_error) == (RefundStatus.FAILED, "expired_card")
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert (scene.payment.refunded_minor, scene.payment.refundable_minor) == (0, 5_000)
    assert scene.desk.working.accounts[scene.payment.source_account_id].balance == balance - 2_000
    granted(scene.desk.ask(RefundPayment(TENANT, scene.payment.id, usd(5_000))))
    assert observe(scene, bounced(scene), "evt_2").transfers == ()


def test_a_refund_that_came_back_when_it_was_spent_is_owed() -> None:
    """No account is overdrawn for it: its tenant is owed the money."""
    scene = refund_scene_of("completed")
    account = scene.desk.working.accounts[scene.payment.source_account_id]
    granted(scene.desk.ask(pay(account.id, usd(account.available - 1_000))))
    decision = observe(scene, bounced(scene))
    owed = receivables(TENANT, "USD").id
    assert moves(decision) == [(owed, COLLECTED, 2_000)]
    assert scene.refund.status is RefundStatus.FAILED


def test_a_refund_that_failed_and_was_made_after_all_is_completed() -> None:
    """The provider gave it back, whatever it said before."""
    scene = refund_scene_of("failed")
    found = FoundRefund("re_5", usd(2_000), FoundState.SUCCEEDED, scene.refund_id)
    decision = observe(scene, replace(CHARGED, refunds=(found,)))
    assert [each.type for each in decision.events] == [EventType.REFUND_COMPLETED]
    assert scene.refund.status is RefundStatus.COMPLETED
    assert scene.payment.refunded_minor == 2_000


@pytest.mark.parametrize(
    ("name", "told"),
    [("re_other", "was made twice, as pi_1 and re_other"), (None, "nothing is known of refund")],
)
def test_a_completed_refund_that_is_another_or_none_there_is_told(
    name: str | None, told: str
) -> None:
    """What was given back twice, or never, is for a person."""
    scene = refund_scene_of("completed")
    found = (FoundRefund(name, usd(2_000), FoundState.SUCCEEDED, scene.refund_id),) if name else ()
    (letter,) = observe(scene, replace(CHARGED, refunds=found)).dead_letters
    assert told in letter.error


def test_a_dispute_takes_its_money_out_of_what_was_collected() -> None:
    """It is published, and what is disputed cannot be refunded."""
    scene = scene_of("completed")
    decision = observe(scene, disputing())
    (dispute,) = decision.disputes
    assert dispute.id == dispute_id("stripe", "dp_1")
    assert (dispute.state, dispute.withdrawn_minor, dispute.reason) == (
        DisputeState.OPEN,
        5_000,
        "fraud",
    )
    (event,) = decision.events
    assert (event.type, event.dispute) == (EventType.DISPUTE_OPENED, dispute)
    assert moves(decision) == [(COLLECTED, TAKEN, 5_000)]
    assert [each.entry.transaction_type for each in decision.transfers] == [TransactionType.DISPUTE]
    assert scene.payment.status is PaymentStatus.COMPLETED
    assert (scene.payment.disputed_minor, scene.payment.refundable_minor) == (5_000, 0)


@pytest.mark.parametrize(
    ("state", "is_withdrawn", "event", "moved"),
    [
        (DisputeState.WON, False, EventType.DISPUTE_WON, [(TAKEN, COLLECTED, 5_000)]),
        (DisputeState.LOST, True, EventType.DISPUTE_LOST, []),
        (DisputeState.OPEN, False, EventType.DISPUTE_UPDATED, [(TAKEN, COLLECTED, 5_000)]),
        (DisputeState.OPEN, True, None, []),
    ],
)
def test_a_dispute_is_followed_to_its_end(
    state: DisputeState,
    is_withdrawn: bool,  # noqa: FBT001 - a column of the table
    event: EventType | None,
    moved: list[tuple[object, object, int]],
) -> None:
    """Won, its money is back; lost, it stays where it went."""
    scene = scene_of("completed")
    observe(scene, disputing())
    decision = observe(scene, disputing(state=state, is_withdrawn=is_withdrawn), "evt_2")
    assert [each.type for each in decision.events] == ([event] if event else [])
    assert moves(decision) == moved
    assert scene.payment.disputed_minor == (5_000 if is_withdrawn else 0)
    for dispute in decision.disputes:
        assert (dispute.closed_at is None) == (state is DisputeState.OPEN)


def test_a_dispute_that_is_over_when_it_is_heard_of_was_opened_first() -> None:
    """Whoever reads the events meets no end without a beginning."""
    decision = observe(scene_of("completed"), disputing(state=DisputeState.LOST))
    assert [each.type for each in decision.events] == [
        EventType.DISPUTE_OPENED,
        EventType.DISPUTE_LOST,
    ]
    assert moves(decision) == [(COLLECTED, TAKEN, 5_000)]


def test_a_reversal_is_told_as_what_it_is() -> None:
    """Nobody asked us: the money is gone at once."""
    reversal = disputing(kind=DisputeKind.REVERSAL, state=DisputeState.LOST)
    decision = observe(scene_of("completed"), reversal)
    assert [each.type for each in decision.events] == [EventType.PAYMENT_REVERSED]
    assert moves(decision) == [(COLLECTED, TAKEN, 5_000)]


@pytest.mark.parametrize(
    "found",
    [
        replace(CHARGED, captures=(*CHARGED.captures, FoundCapture("pi_2", usd(5_000)))),
        replace(CHARGED, captures=(FoundCapture("pi_1", Money(5_000, "EUR")),)),
        Standing(None),
    ],
)
def test_what_was_taken_twice_otherwise_or_never_is_told(found: Standing) -> None:
    """The books of a completed payment say what was taken, once."""
    decision = observe(scene_of("completed"), found)
    assert [each.reason for each in decision.dead_letters] == [DeadLetterReason.CONTRADICTION]
    assert decision.payments == ()


def test_several_captures_of_one_authorization_are_its_payment_together() -> None:
    """A provider that lets its dashboard capture in parts is followed with the sum."""
    parts = (FoundCapture("c1", usd(1_000)), FoundCapture("c2", usd(1_500)))
    scene = scene_of("authorized")
    observe(scene, Standing(None, captures=parts, is_held=False))
    assert (scene.payment.status, scene.payment.captured_minor) == (PaymentStatus.COMPLETED, 2_500)
    assert observe(scene, Standing(None, captures=parts), "evt_2").dead_letters == ()


def test_more_than_was_authorized_is_told_to_a_person() -> None:
    """It cannot be posted from what is held."""
    scene = scene_of("authorized")
    decision = observe(scene, Standing(None, captures=(FoundCapture("pi_1", usd(5_001)),)))
    (letter,) = decision.dead_letters
    assert "50.01 USD was captured, as pi_1" in letter.error
    assert scene.payment.awaits_capture


def test_money_there_that_was_given_back_there_contradicts_no_failed_payment() -> None:
    """Whoever found it has refunded it by hand: the books are right."""
    assert observe(scene_of("failed"), refunded_there(5_000)).dead_letters == ()
