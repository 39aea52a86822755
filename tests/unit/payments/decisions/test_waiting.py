"""How long work waits: for workers that fall silent, banks that think, stages that stand."""

from __future__ import annotations

import pytest

from payments.dead_letter import DeadLetterReason
from payments.events import EventType
from payments.outcome import (
    Operation,
    Pending,
    Succeeded,
)
from payments.payment import PaymentStatus
from payments.progress import REVIEW_INTERVAL
from payments.refund import RefundStatus
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import scene_of
from tests.support.payments.refund_paths import refund_scene_of


def test_workers_that_always_fall_silent_leave_it_to_a_person() -> None:
    """The same bound as for inquiries that tell nothing; then it is looked at once a day."""
    for scene in (scene_of("processing"), scene_of("capturing"), refund_scene_of("processing")):
        granted(scene.desk.ask(scene.command("wake")))
        granted(scene.desk.ask(scene.command("claim")))
        decision = granted(scene.desk.ask(scene.command("wake")))
        (letter,) = decision.dead_letters
        assert letter.reason is DeadLetterReason.OUTCOME_UNRESOLVED
        assert letter.error == "lease_expired: worker after worker fell silent"
        assert not decision.work
        (reviewed,) = decision.refunds or decision.payments
        assert reviewed.status in {PaymentStatus.REVIEW, RefundStatus.REVIEW}
        assert reviewed.progress.due_at == scene.desk.now + REVIEW_INTERVAL


def test_a_void_whose_workers_always_fall_silent_is_left_to_a_person() -> None:
    """What is held there is held here, and somebody is told."""
    scene = scene_of("voiding")
    scene.play("wake claim wake")
    assert scene.payment.status is PaymentStatus.REVIEW
    assert scene.payment.operation is Operation.VOID
    account = scene.desk.working.accounts[scene.payment.source_account_id]
    assert account.available == 95_000
    letters = scene.desk.working.dead_letters.values()
    assert [each.reason for each in letters] == [DeadLetterReason.OUTCOME_UNRESOLVED]


def test_what_a_provider_does_not_know_itself_yet_is_no_case_for_a_person() -> None:
    """Pending for days: asked after once an hour, for ever, and it costs nothing."""
    scene = scene_of("processing")
    waits = []
    for _ in range(20):
        granted(scene.desk.ask(scene.settled(Pending("pending", "a bank thinks"))))
        assert scene.payment.progress.due_at is not None
        waits.append((scene.payment.progress.due_at - scene.desk.now).total_seconds())
        scene.play("wake claim")
    assert (waits[:4], waits[-1]) == ([1, 2, 4, 8], 3_600)
    assert scene.payment.status is PaymentStatus.UNKNOWN
    assert scene.payment.progress.inquiry_count == 0
    assert scene.payment.last_error == "a bank thinks"
    assert not scene.desk.working.dead_letters
    scene.play("succeeded")
    (event,) = scene.desk.decided[-1].events
    assert event.type is EventType.PAYMENT_COMPLETED


@pytest.mark.parametrize("late", [False, True])
def test_each_success_beyond_the_first_is_told_by_its_name(late: bool) -> None:  # noqa: FBT001
    """An inquiry that finds several charges of one payment takes one and hides none."""
    scene = scene_of("completed" if late else "processing")
    found = Succeeded("pi_1", others=("pi_2", "pi_3"))
    decision = granted(scene.desk.ask(scene.settled(found, late=late)))
    assert scene.payment.provider_reference == "pi_1"
    assert [each.error for each in decision.dead_letters] == [
        "charge took effect as pi_1 and as pi_2",
        "charge took effect as pi_1 and as pi_3",
    ]
    assert len({each.id for each in decision.dead_letters}) == 2
